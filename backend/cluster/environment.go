// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/net/http/httpproxy"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// environment is the environment of whoever asked, which need not be that of this process.
type environment struct {
	values map[string]string
	// foreign says that it is not this process's own, so that plugins must be given it.
	foreign bool
}

// environmentOf returns the environment that the options carry, else this process's.
func environmentOf(o Options) environment {
	env := environment{values: map[string]string{}, foreign: len(o.Environment) > 0}
	list := o.Environment
	if !env.foreign {
		list = os.Environ()
	}
	for _, entry := range list {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			env.values[name] = value
		}
	}
	return env
}

func (e environment) get(name string) string { return e.values[name] }

// home returns the home folder of whoever asked.
func (e environment) home() string {
	name := "HOME"
	if runtime.GOOS == "windows" {
		name = "USERPROFILE"
	}
	if home := e.get(name); home != "" {
		return home
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return home
}

// proxy returns the choice of proxy that the environment asks for, as net/http makes it.
func (e environment) proxy() func(*http.Request) (*url.URL, error) {
	either := func(upper string) string {
		if value := e.get(upper); value != "" {
			return value
		}
		return e.get(strings.ToLower(upper))
	}
	config := httpproxy.Config{HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
	choose := config.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

// prepare makes a credential plugin run as it would in the caller's shell: with the caller's environment, and found on
// the caller's PATH. What the kubeconfig sets for the plugin itself comes last and wins.
func (e environment) prepare(plugin *clientcmdapi.ExecConfig, workingDirectory string) {
	plugin.StdinUnavailable = true
	plugin.StdinUnavailableMessage = "Fairlead runs it in the background. Log in first, for example with any kubectl command"
	if !e.foreign {
		return
	}
	var inherited []clientcmdapi.ExecEnvVar
	for name, value := range e.values {
		inherited = append(inherited, clientcmdapi.ExecEnvVar{Name: name, Value: value})
	}
	slices.SortFunc(inherited, func(a, b clientcmdapi.ExecEnvVar) int { return strings.Compare(a.Name, b.Name) })
	plugin.Env = append(inherited, plugin.Env...)
	if found := e.lookPath(plugin.Command, workingDirectory); found != "" {
		plugin.Command = found
	}
}

// lookPath finds a program on the caller's PATH; empty if it has none, or the name needs no looking up.
func (e environment) lookPath(name, workingDirectory string) string {
	if filepath.Base(name) != name {
		return ""
	}
	suffixes := []string{""}
	if runtime.GOOS == "windows" {
		suffixes = append(suffixes, strings.Split(strings.ToLower(e.get("PATHEXT")), ";")...)
	}
	for _, folder := range filepath.SplitList(e.get("PATH")) {
		if !filepath.IsAbs(folder) {
			folder = filepath.Join(workingDirectory, folder)
		}
		for _, suffix := range suffixes {
			file := filepath.Join(folder, name+suffix)
			info, err := os.Stat(file)
			if err == nil && info.Mode().IsRegular() && (runtime.GOOS == "windows" || info.Mode()&0o111 != 0) {
				return file
			}
		}
	}
	return ""
}

func sortAddrs(addrs []netip.Addr) { slices.SortFunc(addrs, netip.Addr.Compare) }
