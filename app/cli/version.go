// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// versions are the versions of the parts; what does not run is left out.
type versions struct {
	Fairlead programVersion    `json:"fairlead"`
	Daemon   *localapi.Version `json:"daemon,omitempty"`
	Helper   *localapi.Helper  `json:"helper,omitempty"`
	Gateway  string            `json:"gateway,omitempty"` // of the connected cluster
}

type programVersion struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		GroupID: groupOther,
		Short:   "Say the versions of this program and of the parts that run",
		Example: `  fairlead version
  fairlead version --output json | jq -r .fairlead.version`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return p.versions(c.Context()) },
	}
}

func (p *program) versions(ctx context.Context) error {
	v := versions{Fairlead: programVersion{
		Version: p.version, Commit: commit(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}}
	client, d, err := p.running(ctx)
	switch {
	case errors.Is(err, localapi.ErrNotRunning):
	case err != nil:
		return err
	default:
		v.Daemon = &d
		if h, err := client.Helper(ctx); err == nil {
			v.Helper = &h
		}
		if s, err := client.Status(ctx); err == nil {
			v.Gateway = s.Gateway.Version
		}
	}
	return p.answer(v, func(w io.Writer) { writeVersions(w, v) })
}

func writeVersions(w io.Writer, v versions) {
	fmt.Fprintf(w, "Fairlead %s (%s, %s)\n", v.Fairlead.Version, v.Fairlead.Platform, v.Fairlead.Go)
	daemon := "not running"
	if v.Daemon != nil {
		daemon = fmt.Sprintf("%s, process %d, log %s", v.Daemon.Version, v.Daemon.PID, v.Daemon.Log)
	}
	helper := ""
	if v.Helper != nil {
		if helper = v.Helper.Version; !v.Helper.Running {
			helper = "not running"
		}
	}
	writeFields(w, []field{{"Daemon", daemon}, {"Helper", helper}, {"Gateway", v.Gateway}})
}

// commit is the revision that this program was built from, if the build knows.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return ""
}
