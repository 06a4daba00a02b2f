// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"time"

	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

const (
	pluginTimeout = 10 * time.Second
	pluginLines   = 8 // that are shown of what a plugin says
)

// pluginOutput runs a credential plugin that has just failed and returns the last lines that it writes to standard
// error: client-go lets them go to this process's own, where nobody reads them. Standard output, where credentials
// are, is thrown away.
func pluginOutput(ctx context.Context, plugin *clientcmdapi.ExecConfig) []string {
	ctx, cancel := context.WithTimeout(ctx, pluginTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, plugin.Command, plugin.Args...)
	cmd.Env = append(os.Environ(),
		`KUBERNETES_EXEC_INFO={"apiVersion":"`+plugin.APIVersion+`","kind":"ExecCredential","spec":{"interactive":false}}`)
	for _, variable := range plugin.Env {
		cmd.Env = append(cmd.Env, variable.Name+"="+variable.Value)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	_ = cmd.Run() // it is known to fail; what it says is what counts
	return lastLines(stderr.String(), pluginLines)
}

// lastLines returns the last n lines of text that are not empty.
func lastLines(text string, n int) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-n):]
}
