// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"io"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/agent/api/v1alpha1"
)

// maxLog bounds what is read of a pod's log, in bytes.
const maxLog = 512 << 10

// PodLog returns the last lines that a container of a pod has written. Errors are *problem.Problem.
func (a *Access) PodLog(ctx context.Context, namespace, pod, container string, lines int64) ([]byte, error) {
	limit := int64(maxLog)
	stream, err := a.clients.CoreV1().Pods(namespace).GetLogs(pod, &core.PodLogOptions{Container: container, TailLines: &lines, LimitBytes: &limit, Timestamps: true}).Stream(ctx)
	if err == nil {
		defer stream.Close() //nolint:errcheck // it has been read
		var text []byte
		if text, err = io.ReadAll(io.LimitReader(stream, maxLog)); err == nil {
			return text, nil
		}
	}
	return nil, a.Explain(ctx, err, Action{Verb: "get", Resource: "pods/log", Namespace: namespace})
}

// Connection returns a Connection. Errors are *problem.Problem.
func (a *Access) Connection(ctx context.Context, namespace, name string) (*v1alpha1.Connection, error) {
	object, err := a.objects.Resource(connectionResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, a.explainConnection(ctx, err, "get", namespace)
	}
	return decode[v1alpha1.Connection](object)
}
