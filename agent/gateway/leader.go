// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// activeLabel marks the pod that serves. The UDP Service selects it.
const activeLabel = "fairlead.dev/active"

// Times of the Lease. A node that dies is replaced by a standby after at most leaseDuration; a pod that ends hands
// over at once.
const (
	leaseDuration = 10 * time.Second
	renewDeadline = 7 * time.Second
	retryPeriod   = time.Second
)

// lead calls serve when this pod becomes the one that serves, and returns when ctx ends (nil) or when another pod
// serves instead (an error: the process should start anew, as a standby). An API server that does not answer is no
// reason to stop: as long as nobody else holds the Lease, laptops that are connected stay so.
func lead(ctx context.Context, config *rest.Config, pod Pod, log *slog.Logger, serve func()) error {
	identity := pod.Name + "_" + pod.UID
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, pod.Namespace, leaseName,
		resourcelock.ResourceLockConfig{Identity: identity}, config, renewDeadline)
	if err != nil {
		return fmt.Errorf("prepare leader election: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var begin sync.Once
	var serving atomic.Bool
	var began sync.WaitGroup
	defer began.Wait()
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, Name: leaseName, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) {
				begin.Do(func() {
					serving.Store(true)
					began.Go(serve)
				})
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(leader string) {
				switch {
				case leader == identity || leader == "":
				case serving.Load():
					cancel(fmt.Errorf("pod %s serves now", leader))
				default:
					log.Info("standing by", "serving", leader)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("prepare leader election: %w", err)
	}
	for ctx.Err() == nil {
		elector.Run(ctx)
		if ctx.Err() == nil {
			log.Warn("the lease could not be renewed; serving goes on while nobody else has it")
		}
	}
	if cause := context.Cause(ctx); cause != context.Canceled {
		return cause
	}
	return nil
}

// markActive labels this pod as the one that serves, and takes the label from all others.
func markActive(ctx context.Context, reader client.Reader, writer client.Writer, pod Pod) error {
	if err := label(ctx, writer, pod.Namespace, pod.Name, "true"); err != nil {
		return fmt.Errorf("label pod as active: %w", err)
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	if err := reader.List(ctx, list, client.InNamespace(pod.Namespace), client.MatchingLabels{activeLabel: "true"}); err != nil {
		return fmt.Errorf("list active pods: %w", err)
	}
	for _, other := range list.Items {
		if other.Name == pod.Name {
			continue
		}
		if err := label(ctx, writer, pod.Namespace, other.Name, nil); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("take the active label from pod %s: %w", other.Name, err)
		}
	}
	return nil
}

// label sets the active label of a pod, or removes it for nil.
func label(ctx context.Context, writer client.Writer, namespace, name string, value any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"labels": map[string]any{activeLabel: value}}})
	if err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	return writer.Patch(ctx, pod, client.RawPatch(types.MergePatchType, patch))
}
