// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// interceptFlags are the flags of intercept that are not in the request.
type interceptFlags struct {
	request   localapi.InterceptRequest
	envFile   string
	envFormat string
	command   []string // behind --
}

func (p *program) interceptCommand() *cobra.Command {
	var f interceptFlags
	c := &cobra.Command{
		Use:     "intercept WORKLOAD [flags] [-- COMMAND [ARGUMENT]…]",
		GroupID: groupDaily,
		Short:   "Bring a workload's traffic, or some of its requests, to this laptop",
		Long: `Bring requests to a workload of the connected cluster to a program on this laptop. By default these are the requests
with the header "x-fairlead: KEY", or with the member fairlead=KEY in the header baggage (W3C Baggage), which tracing
libraries pass on from service to service; everybody else notices nothing. The command returns when every ready pod
has confirmed and the way to this laptop has been tried. What this laptop does not take goes to the app.

WORKLOAD is a name, KIND/NAME (deployment, statefulset, daemonset, replicaset, job, pod, rollout), or the name of a
Service, which stands for the workload behind it.

--port LOCAL[:REMOTE][/udp] says which port goes where. REMOTE is a port of a container or of a Service, by number or
name (a container's number counts first); without it the only TCP port is meant. --port :REMOTE, or a name alone, has the
same number on this laptop. Ports that are declared nowhere can be named by number.

--header and --path choose requests in other ways, instead of the key, or in addition to --key; all of them must hold:
  --header NAME=VALUE     the header has this value        --path /PATH       the path is this
  --header NAME^=PREFIX   it begins so                     --path ^=/PREFIX   it begins so
  --header NAME~=REGEX    it matches as a whole (RE2)      --path ~=REGEX     it matches as a whole (RE2)

With a COMMAND behind --, that is run with the environment of the workload's container added to this shell's (but for
HOME, PATH, PWD, SHELL, TERM and USER). Leaving is automatic when it ends, on Ctrl-C, or when this program is killed; the
exit status is the command's. Without one, the intercept stays until 'fairlead leave', 'fairlead disconnect', or until
its time is over.`,
		Example: `  fairlead intercept api --port 3000                  # requests with x-fairlead: KEY, to 127.0.0.1:3000
  fairlead intercept api --port 3000:http -- npm start  # with the workload's environment, until npm ends
  fairlead intercept api --all                        # every request, to the same port number
  fairlead intercept api --header x-user=ana --path ^=/cart
  fairlead intercept api --mirror                     # a copy; the app answers
  fairlead intercept dns --port 5353:53/udp --all
  fairlead intercept api --env-file .env --env-format docker --address 172.17.0.2`,
		Args: func(c *cobra.Command, arguments []string) error {
			before := c.ArgsLenAtDash()
			if before < 0 {
				before = len(arguments)
			}
			f.command = arguments[before:]
			switch {
			case before == 0:
				return problem.New(problem.Usage, "'fairlead list' shows what there is.", "'fairlead intercept' needs the name of a workload")
			case before > 1:
				return problem.New(problem.Usage, "A command to run goes behind --, such as: fairlead intercept "+arguments[0]+" -- "+strings.Join(arguments[1:before], " "),
					"'fairlead intercept' takes one workload, and was given %q, too", arguments[1])
			case c.ArgsLenAtDash() >= 0 && len(f.command) == 0:
				return problem.New(problem.Usage, "Leave out --, or write the command behind it.", "there is no command behind --")
			}
			f.request.Workload = arguments[0]
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return p.intercept(c.Context(), f) },
	}
	r := &f.request
	flags := c.Flags()
	flags.StringVarP(&r.Namespace, "namespace", "n", "", "namespace of the workload (default: the connected one)")
	flags.StringSliceVarP(&r.Ports, "port", "p", nil, "LOCAL[:REMOTE][/udp]; repeat it for several (default: the only TCP port)")
	flags.BoolVar(&r.All, "all", false, "all traffic of the ports, not some requests only")
	flags.StringArrayVar(&r.Headers, "header", nil, "NAME=VALUE, NAME^=PREFIX or NAME~=REGEX; repeat it for several")
	flags.StringVar(&r.Path, "path", "", "/PATH, ^=/PREFIX or ~=REGEX")
	flags.StringVar(&r.Key, "key", "", "key of the header x-fairlead (default: made up from your name)")
	flags.StringVar(&r.Container, "container", "", "container of the workload (default: the one that has the port)")
	flags.StringVar(&r.Address, "address", "", "where the program listens: an address or host (default: 127.0.0.1)")
	flags.BoolVar(&r.Mirror, "mirror", false, "get a copy of the requests; the app answers")
	flags.StringVar(&r.Redirect, "redirect", "", "how traffic is redirected: auto, instant or unprivileged (default: auto)")
	flags.StringVar(&r.Takeover, "takeover", "", "connections that are open: gentle, force or none (default: gentle, when they are idle)")
	flags.StringVar(&r.Expires, "expires", "", "end by itself after this long, such as 8h (default: what the gateway allows, 24h)")
	flags.StringVar(&f.envFile, "env-file", "", "write the workload's environment to this file, for you alone; - is standard output")
	flags.StringVar(&f.envFormat, "env-format", "", "format of it: docker, compose, sh or json (default: docker)")
	c.ValidArgsFunction = p.completeWorkloads(&r.Namespace)
	complete(c, "namespace", p.completeNamespaces(&targetFlags{}))
	complete(c, "port", p.completePorts(&r.Namespace))
	complete(c, "redirect", fixed("auto", "instant", "unprivileged"))
	complete(c, "takeover", fixed("gentle", "force", "none"))
	complete(c, "env-format", fixed(formatNames()...))
	for _, flag := range []string{"header", "path", "key", "container", "address", "expires"} {
		complete(c, flag, cobra.NoFileCompletions)
	}
	return c
}

func formatNames() []string {
	var names []string
	for _, f := range environment.Formats {
		names = append(names, string(f))
	}
	return names
}

// intercept makes an intercept, and runs the command inside it if there is one.
func (p *program) intercept(ctx context.Context, f interceptFlags) error {
	format, err := environment.ParseFormat(f.envFormat)
	if err != nil {
		return err
	}
	if f.envFormat != "" && f.envFile == "" {
		return problem.New(problem.Usage, "Add --env-file FILE.", "--env-format says how --env-file is written, and there is none")
	}
	if f.envFile == "-" && p.output != "" && p.output != formatText {
		return problem.New(problem.Usage, "Name a file.", "--env-file - and --output %s both write to standard output", p.output)
	}
	progress := p.begin("Intercepting " + f.request.Workload)
	defer progress.end()
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { progress.say("Leaving again") })()
	variables, err := p.interceptEnvironment(ctx, client, f, format)
	if err != nil {
		return err
	}
	f.request.Attached = len(f.command) > 0
	made, hold, err := client.Intercept(ctx, f.request, progress.say)
	if err != nil {
		return err
	}
	progress.end()
	show := func() error { return p.answer(made, func(w io.Writer) { writeMade(w, made, time.Now()) }) }
	if hold == nil {
		return show()
	}
	if p.output == "" || p.output == formatText { // standard output is the command's
		if !p.quiet {
			writeMade(p.stderr, made, time.Now())
		}
	} else if err := show(); err != nil {
		return err
	}
	return p.runInside(ctx, client, made, hold, f.command, variables)
}

// interceptEnvironment reads the workload's environment, if it is needed, and writes the file.
func (p *program) interceptEnvironment(ctx context.Context, client *localapi.Client, f interceptFlags, format environment.Format) ([]environment.Variable, error) {
	if f.envFile == "" && len(f.command) == 0 {
		return nil, nil
	}
	status, err := client.Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.State != session.Connected { // before anything is written
		return nil, problem.New(problem.NotConnected, "Connect first: fairlead connect. 'fairlead status' says where it stands.",
			"an intercept needs a connection to the cluster, and there is none at the moment")
	}
	found, err := client.Environment(ctx, localapi.EnvironmentRequest{
		Target: localapi.Target{Namespace: f.request.Namespace}, Workload: f.request.Workload, Container: f.request.Container, Secrets: true,
	})
	if err != nil {
		return nil, err
	}
	p.warnMissing(found.Missing)
	if f.envFile == "" {
		return found.Variables, nil
	}
	text, left, err := environment.Render(format, found.Variables)
	if err != nil {
		return nil, err
	}
	p.warnMissing(left)
	if f.envFile == "-" {
		_, err = p.stdout.Write(text)
		return found.Variables, err
	}
	return found.Variables, environment.WriteFile(f.envFile, text)
}

// warnMissing tells which variables are not there, and why.
func (p *program) warnMissing(missing []environment.Missing) {
	for _, m := range missing {
		what := m.Name
		if what == "" {
			what = "variables of " + m.Source
		} else if m.Source != "" {
			what += ", from " + m.Source
		}
		p.warn("The environment lacks %s: %s", what, sentence(m.Why))
	}
}

// writeMade says what comes to this laptop now, and how to make such a request.
func writeMade(w io.Writer, i localapi.Intercept, now time.Time) {
	fmt.Fprintln(w, interceptHeadline(i))
	writeFields(w, interceptFields(i, now))
	for _, note := range i.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", sentence(capitalized(note)))
	}
	if i.Curl != "" {
		fmt.Fprintf(w, "\nTry:\n  %s\n", i.Curl)
	}
	if !i.Attached {
		fmt.Fprintf(w, "Leave it with:\n  fairlead leave %s\n", i.Name)
	}
}

// interceptHeadline is the truth about an intercept in one line.
func interceptHeadline(i localapi.Intercept) string {
	what, come, goes := "requests to "+workloadName(i)+" with "+strings.ReplaceAll(matchText(i), "\n", " and "), "come", "go"
	if i.All {
		what, come, goes = "all traffic of "+workloadName(i), "comes", "goes"
	}
	if i.Mirror {
		what, come, goes = "copies of "+what, "come", "go"
	}
	because := ""
	if i.Message != "" {
		because = ": " + i.Message
	}
	switch i.Phase {
	case "Active":
		return capitalized(what) + " " + come + " to this laptop."
	case "Suspended":
		if i.Mirror {
			return "Suspended: " + what + " " + goes + sentence(" nowhere meanwhile"+because)
		}
		return "Suspended: " + what + " " + goes + sentence(" to the app meanwhile"+because)
	case "":
		return "Pending: " + sentence(what+because)
	}
	return i.Phase + ": " + sentence(what+because)
}

// workloadName is the kind and name of an intercepted workload, as kubectl has it.
func workloadName(i localapi.Intercept) string {
	return strings.ToLower(i.Workload.Kind) + "/" + i.Workload.Name
}

// matchText says which requests are meant, a condition to a line.
func matchText(i localapi.Intercept) string {
	var lines []string
	if i.Key != "" {
		lines = append(lines, "x-fairlead: "+i.Key)
	}
	words := map[string]string{"exact": "is", "prefix": "begins with", "regex": "matches"}
	for _, c := range i.Where {
		lines = append(lines, fmt.Sprintf("a header %s that %s %s", c.Header, words[c.How], c.Value))
	}
	if i.Path != nil {
		lines = append(lines, fmt.Sprintf("a path that %s %s", words[i.Path.How], i.Path.Value))
	}
	return strings.Join(lines, "\n")
}

// interceptFields is what there is to know about an intercept beyond the headline.
func interceptFields(i localapi.Intercept, now time.Time) []field {
	var ports []string
	for _, port := range i.Ports {
		text := fmt.Sprintf("%d", port.Port)
		if port.Protocol == "UDP" {
			text += "/udp"
		}
		if port.Local != "" {
			text += " -> " + port.Local
			if i.Mine && !port.Listening {
				text += "  NOTHING LISTENS THERE"
			}
		}
		ports = append(ports, text)
	}
	redirect := strings.ToLower(i.Redirect)
	if redirect != "" && i.RedirectReason != "" {
		redirect += ": " + i.RedirectReason
	}
	pods := fmt.Sprintf("%d of %d", i.PodsCovered, i.PodsReady)
	if bypassing := bypassing(i); bypassing > 0 {
		pods += fmt.Sprintf("; %d connections from before still go to the app", bypassing)
	}
	expires := ""
	if i.Expires != nil {
		expires = i.Expires.Local().Format("2006-01-02 15:04")
		if left := i.Expires.Sub(now); left > 0 {
			expires += " (in " + ago(left) + ")"
		}
	}
	header := ""
	if !i.All {
		header = i.Header
		if i.Baggage != "" {
			header += "\n" + i.Baggage
		}
	}
	return []field{
		{"Name", i.Namespace + "/" + i.Name},
		{"Port", strings.Join(ports, "\n")},
		{"Header", header},
		{"Pods", pods},
		{"Redirect", redirect},
		{"Requests", countsText(i.Counts)},
		{"Expires", expires},
	}
}

func bypassing(i localapi.Intercept) int {
	n := 0
	for _, pod := range i.Pods {
		n += pod.Bypassing
	}
	return n
}

// countsText says what has come so far; empty for nothing.
func countsText(c sessionCounts) string {
	var parts []string
	for _, part := range []struct {
		n    uint64
		what string
	}{{c.Matched, "to the laptop"}, {c.FallenBack, "meant for it went to the app"}, {c.Unreadable, "could not be looked into"}, {c.Passed, "passed"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}
