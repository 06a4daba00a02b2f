// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Runner runs commands in containers; a Reader that is one lets the running process itself be asked. *cluster.Access is one.
type Runner interface {
	Run(ctx context.Context, namespace, pod, container string, command ...string) ([]byte, error)
}

// runTimeout bounds asking the running process: people wait for it.
const runTimeout = 2 * time.Second

// sourceProcess is the source of a variable that the spec does not have: the image has it, or what started the process.
const sourceProcess = "process"

// ofTheContainer are variables that say how the container itself is laid out: elsewhere they would lead programs astray.
var ofTheContainer = []string{
	"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "SHELL", "TERM", "USER", "LOGNAME", "_", "LD_PRELOAD", "LD_LIBRARY_PATH", "TMPDIR", "container",
}

// running is the environment of the container's first process, as it was started with; later it may have changed its own.
// Without a process that can be asked, err says why.
func running(ctx context.Context, runner Runner, pod *core.Pod, container string) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	commands := [][]string{{"cat", "/proc/1/environ"}, {"env", "-0"}}
	if shared := pod.Spec.ShareProcessNamespace; shared != nil && *shared || pod.Spec.HostPID {
		commands = commands[1:] // the first process is another one
	}
	var first error
	for _, command := range commands {
		text, err := runner.Run(ctx, pod.Namespace, pod.Name, container, command...)
		if err == nil {
			var values map[string]string
			if values, err = parseEnviron(text); err == nil {
				return values, nil
			}
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil || errors.Is(err, problem.New(problem.Forbidden, "", "")) {
			break
		}
	}
	return nil, first
}

// errNoEnviron says that what a command wrote is no environment.
var errNoEnviron = errors.New("it does not look like an environment")

// parseEnviron reads NAME=value texts that end with a zero byte (proc_pid_environ(5)).
func parseEnviron(text []byte) (map[string]string, error) {
	values := map[string]string{}
	for part := range bytes.SplitSeq(text, []byte{0}) {
		if len(part) == 0 {
			continue
		}
		name, value, ok := strings.Cut(string(part), "=")
		if !ok || name == "" || strings.ContainsAny(name, "\n\r") {
			continue // programs that rename themselves write over it
		}
		if _, twice := values[name]; !twice { // getenv(3) takes the first
			values[name] = value
		}
	}
	if len(values) == 0 {
		return nil, errNoEnviron
	}
	return values, nil
}

// whyNotRunning says in words why the process could not be asked.
func whyNotRunning(err error) string {
	switch {
	case errors.Is(err, problem.New(problem.Forbidden, "", "")):
		return "you may not run commands in the pods (create pods/exec)"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the pod did not answer within %s", runTimeout)
	case strings.Contains(err.Error(), "not found"), strings.Contains(err.Error(), "no such file"):
		return "the image has no program that shows it (cat or env)"
	}
	return err.Error()
}

// merge puts what the running process has over what the spec says.
func (r *resolver) merge(container *core.Container, values map[string]string) {
	unnamed := slices.ContainsFunc(r.env.Missing, func(m Missing) bool { return m.Name == "" && isSecretSource(m.Source) })
	for name, value := range values {
		known, ok := r.values[name]
		switch {
		case ok:
			known.Value = value
			r.values[name] = known
		case slices.Contains(ofTheContainer, name):
		default:
			// It may be of a Secret that could not be read by name.
			v := Variable{Name: name, Value: value, Source: sourceProcess, Secret: unnamed && !declares(container, name)}
			if i := slices.IndexFunc(r.env.Missing, func(m Missing) bool { return m.Name == name }); i >= 0 {
				v.Source, v.Secret = r.env.Missing[i].Source, isSecretSource(r.env.Missing[i].Source)
			}
			r.values[name] = v
		}
	}
	r.env.Missing = slices.DeleteFunc(r.env.Missing, func(m Missing) bool {
		_, there := values[m.Name]
		return there || strings.HasPrefix(m.Source, "service") // the process has those of when it began
	})
	for name, v := range r.values {
		if _, there := values[name]; !there && strings.HasPrefix(v.Source, "service ") {
			delete(r.values, name) // a Service that is newer than the process
		}
	}
	r.env.Notes = append(r.env.Notes, fmt.Sprintf("values are those of the process that runs in pod %s; of the image, what only makes sense inside the container (PATH, HOME and the like) is left out", r.pod.Name))
}

func declares(c *core.Container, name string) bool {
	return slices.ContainsFunc(c.Env, func(v core.EnvVar) bool { return v.Name == name })
}

func isSecretSource(source string) bool { return strings.HasPrefix(source, "secret ") }
