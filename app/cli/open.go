// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/app/desktop"
	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

func (p *program) openCommand() *cobra.Command {
	var printOnly bool
	c := &cobra.Command{
		Use:     "open [LINK]",
		GroupID: groupDaily,
		Short:   "Open the page that shows and steers the connection",
		Long: `Open the page that shows and steers the connection, in the browser. The background program serves it to this user of
this machine alone. The address opens the page once, within a minute: keep it to yourself until you have opened it.

Without a display, or with --print, it only prints the address. The page finds the kubeconfig as this shell does.

A link, as the text to share an intercept has it, opens the page at what it names. It fills in what it says and does
nothing by itself.`,
		Example: `  fairlead open
  fairlead open --print
  fairlead open 'fairlead://intercept?namespace=shop&workload=pricing'`,
		Args: func(c *cobra.Command, arguments []string) error {
			if len(arguments) > 1 {
				return problem.New(problem.Usage, "Put the link in quotes: it has characters that shells know.", "'%s' takes one link, and was given %d", c.CommandPath(), len(arguments))
			}
			return nil
		},
		RunE: func(c *cobra.Command, arguments []string) error {
			link := ""
			if len(arguments) > 0 {
				link = arguments[0]
			}
			return p.open(c.Context(), link, printOnly)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	c.Flags().BoolVar(&printOnly, "print", false, "print the address, open nothing")
	return c
}

// uiCommand is what openCommand was called once.
func (p *program) uiCommand() *cobra.Command {
	c := p.openCommand()
	c.Use, c.Hidden = "ui [LINK]", true
	return c
}

func (p *program) open(ctx context.Context, link string, printOnly bool) error {
	place := ""
	if link != "" {
		var err error
		if place, err = desktop.ParseLink(link); err != nil {
			return err
		}
	}
	client, err := p.client(ctx)
	if err != nil {
		return err
	}
	var request localapi.PageRequest
	if request.Environment, request.WorkingDirectory, err = here(); err != nil {
		return err
	}
	page, err := client.Page(ctx, request)
	if err != nil {
		return err
	}
	if place != "" {
		page.URL += "&at=" + url.QueryEscape(place)
	}
	opened := false
	if !printOnly {
		if err := openBrowser(page.URL); err != nil {
			p.warn("No browser was started: %s.", err)
		} else {
			opened = true
		}
	}
	return p.answer(struct {
		localapi.Page
		Opened bool `json:"opened"` // a browser was started with the address
	}{page, opened}, func(w io.Writer) {
		if opened {
			fmt.Fprintln(w, "The page opens in your browser. If it does not, run 'fairlead open --print'.")
			return
		}
		fmt.Fprintln(w, page.URL)
	})
}

// openBrowser starts the user's browser with an address, and does not wait for it.
func openBrowser(url string) error {
	command, err := browserCommand(runtime.GOOS, os.Getenv, url)
	if err != nil {
		return err
	}
	started := exec.Command(command[0], command[1:]...)
	if err := started.Start(); err != nil {
		return fmt.Errorf("start %s: %w", command[0], err)
	}
	return started.Process.Release()
}

// browserCommand is the program of a system that opens an address in the user's browser.
func browserCommand(system string, environment func(string) string, url string) ([]string, error) {
	switch {
	case system == "darwin":
		return []string{"open", url}, nil
	case system == "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", url}, nil
	case environment("DISPLAY") == "" && environment("WAYLAND_DISPLAY") == "":
		return nil, errors.New("there is no display")
	default:
		return []string{"xdg-open", url}, nil
	}
}
