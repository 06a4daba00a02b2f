// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

const oneCluster = `apiVersion: v1
kind: Config
current-context: dev
clusters:
- {name: one, cluster: {server: "https://192.0.2.1:6443"}}
users:
- {name: jo, user: {token: t}}
contexts:
- {name: dev, context: {cluster: one, user: jo, namespace: shop}}
- {name: plain, context: {cluster: one, user: jo}}
`

const otherCluster = `apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: two, cluster: {server: "https://192.0.2.2:6443", proxy-url: "http://proxy.example:3128"}}
users:
- {name: eve, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login, interactiveMode: IfAvailable, env: [{name: REGION, value: own}]}}}
contexts:
- {name: prod, context: {cluster: two, user: eve}}
- {name: broken, context: {cluster: nowhere, user: eve}}
`

// folder writes files and returns where they are.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenChoosesAsKubectlDoes(t *testing.T) {
	dir := folder(t, map[string]string{"one": oneCluster, "other": otherCluster, "home/.kube/config": otherCluster})
	one, other := filepath.Join(dir, "one"), filepath.Join(dir, "other")
	tests := []struct {
		name                       string
		options                    Options
		context, server, namespace string
	}{
		{"one file", Options{Kubeconfigs: []string{one}}, "dev", "https://192.0.2.1:6443", "shop"},
		{"relative", Options{Kubeconfigs: []string{"one"}, WorkingDirectory: dir}, "dev", "https://192.0.2.1:6443", "shop"},
		{"first wins", Options{Kubeconfigs: []string{one, other}}, "dev", "https://192.0.2.1:6443", "shop"},
		{"context of the second", Options{Kubeconfigs: []string{one, other}, Context: "prod"}, "prod", "https://192.0.2.2:6443", "default"},
		{"a missing file among several", Options{Kubeconfigs: []string{filepath.Join(dir, "none"), other}}, "prod", "https://192.0.2.2:6443", "default"},
		{"KUBECONFIG", Options{Environment: []string{"KUBECONFIG=" + other + string(os.PathListSeparator) + one}}, "prod", "https://192.0.2.2:6443", "default"},
		{"home", Options{Environment: []string{"HOME=" + filepath.Join(dir, "home"), "USERPROFILE=" + filepath.Join(dir, "home")}}, "prod", "https://192.0.2.2:6443", "default"},
		{"no namespace", Options{Kubeconfigs: []string{one}, Context: "plain"}, "plain", "https://192.0.2.1:6443", "default"},
		{"namespace asked for", Options{Kubeconfigs: []string{one}, Namespace: "other"}, "dev", "https://192.0.2.1:6443", "other"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := Open(test.options)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if a.Context() != test.context || a.Server() != test.server || a.Namespace() != test.namespace {
				t.Errorf("got %s %s %s", a.Context(), a.Server(), a.Namespace())
			}
			if c := a.RESTConfig(); c.QPS >= 0 {
				t.Errorf("calls are limited to %v a second", c.QPS)
			}
		})
	}
}

func TestOpenRefusesClearly(t *testing.T) {
	dir := folder(t, map[string]string{"one": oneCluster, "other": otherCluster, "torn": "{{{", "empty": ""})
	tests := []struct {
		name    string
		options Options
		want    problem.Code
		text    string
	}{
		{"no file", Options{Kubeconfigs: []string{filepath.Join(dir, "none")}}, problem.Kubeconfig, "none"},
		{"torn", Options{Kubeconfigs: []string{filepath.Join(dir, "torn")}}, problem.Kubeconfig, "torn"},
		{"empty", Options{Kubeconfigs: []string{filepath.Join(dir, "empty")}}, problem.ContextNotFound, "no current context"},
		{"no such context", Options{Kubeconfigs: []string{filepath.Join(dir, "one")}, Context: "prod"}, problem.ContextNotFound, `"prod"`},
		{"no such cluster", Options{Kubeconfigs: []string{filepath.Join(dir, "other")}, Context: "broken"}, problem.Kubeconfig, "nowhere"},
		{"groups without a user", Options{Kubeconfigs: []string{filepath.Join(dir, "one")}, AsGroups: []string{"admins"}}, problem.Usage, "--as"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.options)
			p, ok := errors.AsType[*problem.Problem](err)
			if !ok || p.Code != test.want || !strings.Contains(p.Message, test.text) || p.Hint == "" {
				t.Errorf("got %#v", err)
			}
		})
	}
}

func TestPluginRunsAsInTheCallersShell(t *testing.T) {
	dir := folder(t, map[string]string{"other": otherCluster, "bin/login": "#!/bin/sh\n"})
	a, err := Open(Options{Kubeconfigs: []string{filepath.Join(dir, "other")}, Environment: []string{"PATH=" + filepath.Join(dir, "bin"), "REGION=callers", "HOME=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	plugin := a.RESTConfig().ExecProvider
	if plugin.Command != filepath.Join(dir, "bin", "login") {
		t.Errorf("runs %q, which is not the one on the caller's PATH", plugin.Command)
	}
	last := map[string]string{}
	for _, v := range plugin.Env {
		last[v.Name] = v.Value
	}
	if last["REGION"] != "own" || last["HOME"] != dir {
		t.Errorf("got %v: the kubeconfig's own variables win, the caller's come along", last)
	}
	if !plugin.StdinUnavailable {
		t.Error("a plugin in the background has no standard input")
	}
}

func TestPluginOutputIsHeard(t *testing.T) {
	dir := folder(t, map[string]string{
		"other":     otherCluster,
		"bin/login": "#!/bin/sh\necho secret\necho \"run 'login again' in $REGION\" >&2\nexit 3\n",
	})
	a, err := Open(Options{Kubeconfigs: []string{filepath.Join(dir, "other")}, Environment: []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Identity(t.Context())
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Code != problem.Unauthorized || !slices.Equal(p.Details, []string{"run 'login again' in own"}) {
		t.Errorf("got %+v", p)
	}
}

func TestProxyOfTheCallersEnvironment(t *testing.T) {
	dir := folder(t, map[string]string{"one": oneCluster, "other": otherCluster})
	ask := func(file string, environment ...string) string {
		a, err := Open(Options{Kubeconfigs: []string{filepath.Join(dir, file)}, Environment: append(environment, "PATH=/bin")})
		if err != nil {
			t.Fatal(err)
		}
		server, _ := url.Parse(a.Server())
		proxy, err := a.RESTConfig().Proxy(&http.Request{URL: server})
		if err != nil {
			t.Fatal(err)
		}
		if proxy == nil {
			return ""
		}
		return proxy.String()
	}
	if got := ask("one"); got != "" {
		t.Errorf("got %q without a proxy", got)
	}
	if got := ask("one", "https_proxy=http://callers.example:3128"); got != "http://callers.example:3128" {
		t.Errorf("got %q", got)
	}
	if got := ask("one", "HTTPS_PROXY=http://callers.example:3128", "NO_PROXY=192.0.2.0/24"); got != "" {
		t.Errorf("got %q though the range is excepted", got)
	}
	if got := ask("other", "HTTPS_PROXY=http://callers.example:3128"); got != "http://proxy.example:3128" {
		t.Errorf("got %q, the kubeconfig's own must win", got)
	}
}

func TestContexts(t *testing.T) {
	dir := folder(t, map[string]string{"one": oneCluster, "other": otherCluster})
	contexts, err := Contexts(Options{Kubeconfigs: []string{filepath.Join(dir, "one"), filepath.Join(dir, "other")}})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range contexts {
		names = append(names, c.Name)
		if c.Current != (c.Name == "dev") {
			t.Errorf("%s: current is %v", c.Name, c.Current)
		}
	}
	if !slices.Equal(names, []string{"broken", "dev", "plain", "prod"}) {
		t.Errorf("got %v", names)
	}
}

func TestCredentialsTellUsersApart(t *testing.T) {
	dir := folder(t, map[string]string{"one": oneCluster, "two": strings.ReplaceAll(oneCluster, "token: t", "token: u")})
	of := func(o Options) string {
		a, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		return a.Credentials()
	}
	one := of(Options{Kubeconfigs: []string{filepath.Join(dir, "one")}})
	if one != of(Options{Kubeconfigs: []string{filepath.Join(dir, "one")}, Environment: []string{"A=b", "PATH=/bin"}}) {
		t.Error("the environment does not make another user")
	}
	if one == of(Options{Kubeconfigs: []string{filepath.Join(dir, "two")}}) || one == of(Options{Kubeconfigs: []string{filepath.Join(dir, "one")}, As: "eve"}) {
		t.Error("another token, or another impersonated user, is another user")
	}
}

func TestAddressesLeaveLoopbackOut(t *testing.T) {
	d := &dialer{seen: map[netip.Addr]struct{}{}}
	d.resolve(t.Context(), "127.0.0.1")
	d.resolve(t.Context(), "192.0.2.7")
	d.remember(netip.MustParseAddr("::ffff:192.0.2.3"))
	if got := d.addresses(); !slices.Equal(got, []netip.Addr{netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("192.0.2.7")}) {
		t.Errorf("got %v", got)
	}
}
