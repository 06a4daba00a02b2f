// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	core "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/streaming/pkg/httpstream"
)

// maxOutput bounds what a command in a pod may say, in bytes.
const maxOutput = 4 << 20

// errTooMuch says that a command has said more.
var errTooMuch = fmt.Errorf("the command has said more than %d bytes", maxOutput)

// Run runs a command in a container of a pod, as kubectl exec does, and returns what it writes to its standard output. It
// needs the right to create pods/exec. Errors are *problem.Problem where the cluster refuses.
func (a *Access) Run(ctx context.Context, namespace, pod, container string, command ...string) ([]byte, error) {
	address := a.clients.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&core.PodExecOptions{Container: container, Command: command, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	config := a.RESTConfig()
	modern, err := remotecommand.NewWebSocketExecutor(config, "GET", address.String())
	if err != nil {
		return nil, fmt.Errorf("run %s in pod %s: %w", command[0], pod, err)
	}
	old, err := remotecommand.NewSPDYExecutor(config, "POST", address)
	if err != nil {
		return nil, fmt.Errorf("run %s in pod %s: %w", command[0], pod, err)
	}
	executor, err := remotecommand.NewFallbackExecutor(modern, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s in pod %s: %w", command[0], pod, err)
	}
	var out, failed bounded
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &failed})
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil, err
	case err != nil && failed.Len() > 0:
		return nil, fmt.Errorf("run %s in pod %s: %w: %q", command[0], pod, err, lastLines(failed.String(), 1))
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return nil, a.Explain(ctx, err, Action{Verb: "create", Resource: "pods/exec", Namespace: namespace})
	case err != nil:
		return nil, fmt.Errorf("run %s in pod %s: %w", command[0], pod, err)
	}
	return out.Bytes(), nil
}

// bounded is a buffer that holds so much and no more.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > maxOutput {
		return 0, errTooMuch
	}
	return b.Buffer.Write(p)
}
