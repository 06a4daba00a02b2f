// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Context is one context of the kubeconfig. It is plain data.
type Context struct {
	Name      string `json:"name"`
	Cluster   string `json:"cluster"`
	Server    string `json:"server,omitempty"`
	User      string `json:"user,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Current   bool   `json:"current"`
}

// Contexts lists the contexts of the kubeconfig, by name. Errors are *problem.Problem.
func Contexts(o Options) ([]Context, error) {
	merged, err := mergeKubeconfigs(o, environmentOf(o))
	if err != nil {
		return nil, err
	}
	contexts := make([]Context, 0, len(merged.config.Contexts))
	for name, c := range merged.config.Contexts {
		listed := Context{Name: name, Cluster: c.Cluster, User: c.AuthInfo, Namespace: c.Namespace, Current: name == merged.config.CurrentContext}
		if cluster := merged.config.Clusters[c.Cluster]; cluster != nil {
			listed.Server = cluster.Server
		}
		contexts = append(contexts, listed)
	}
	sort.Slice(contexts, func(i, j int) bool { return contexts[i].Name < contexts[j].Name })
	return contexts, nil
}

// kubeconfig is what the files say together, and the context chosen from it.
type kubeconfig struct {
	config  *clientcmdapi.Config
	files   []string
	context string
	env     environment
}

// loadKubeconfig reads the files and chooses the context.
func loadKubeconfig(o Options, env environment) (*kubeconfig, error) {
	k, err := mergeKubeconfigs(o, env)
	if err != nil {
		return nil, err
	}
	k.context = o.Context
	if k.context == "" {
		k.context = k.config.CurrentContext
	}
	switch {
	case k.context == "":
		return nil, problem.New(problem.ContextNotFound,
			"Name one with --context, or set it with: kubectl config use-context NAME. The kubeconfig has: "+k.names()+".",
			"the kubeconfig has no current context (%s)", strings.Join(k.files, ", "))
	case k.config.Contexts[k.context] == nil:
		return nil, problem.New(problem.ContextNotFound,
			"The kubeconfig has: "+k.names()+".", "the kubeconfig has no context %q (%s)", k.context, strings.Join(k.files, ", "))
	}
	return k, nil
}

// mergeKubeconfigs reads the files as kubectl does: the first to set a value wins.
func mergeKubeconfigs(o Options, env environment) (*kubeconfig, error) {
	files := kubeconfigFiles(o, env)
	found := 0
	for _, file := range files {
		switch _, err := os.Stat(file); {
		case err == nil:
			found++
		case !errors.Is(err, fs.ErrNotExist):
			return nil, problem.Wrap(err, problem.Kubeconfig, "Make the file readable, or name another with --kubeconfig.", "read the kubeconfig")
		}
	}
	if found == 0 {
		return nil, problem.New(problem.Kubeconfig,
			"Name your kubeconfig with --kubeconfig or in the environment variable KUBECONFIG. If 'kubectl get pods' works in this shell, so will Fairlead.",
			"there is no kubeconfig at %s", strings.Join(files, ", "))
	}
	rules := clientcmd.ClientConfigLoadingRules{Precedence: files}
	config, err := rules.Load()
	if errors.Is(err, fs.ErrPermission) {
		return nil, problem.Wrap(err, problem.Kubeconfig, "Make the file readable for you, or name another with --kubeconfig.", "read the kubeconfig")
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Kubeconfig, "Correct the file; 'kubectl config view' shows the same error.", "read the kubeconfig")
	}
	return &kubeconfig{config: config, files: files, env: env}, nil
}

// kubeconfigFiles returns the absolute names of the files to read, in order of precedence.
func kubeconfigFiles(o Options, env environment) []string {
	files := o.Kubeconfigs
	if len(files) == 0 {
		files = filepath.SplitList(env.get(clientcmd.RecommendedConfigPathEnvVar))
	}
	var absolute []string
	for _, file := range files {
		if file == "" {
			continue
		}
		if !filepath.IsAbs(file) {
			file = filepath.Join(o.WorkingDirectory, file)
		}
		absolute = append(absolute, file)
	}
	if len(absolute) == 0 {
		absolute = []string{filepath.Join(env.home(), clientcmd.RecommendedHomeDir, clientcmd.RecommendedFileName)}
	}
	return absolute
}

// names lists the contexts for people.
func (k *kubeconfig) names() string {
	names := make([]string, 0, len(k.config.Contexts))
	for name := range k.config.Contexts {
		names = append(names, name)
	}
	if len(names) == 0 {
		return "no context at all"
	}
	sort.Strings(names)
	const most = 12
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// namespace returns the namespace that unqualified names are in.
func (k *kubeconfig) namespace(o Options) string {
	switch {
	case o.Namespace != "":
		return o.Namespace
	case k.config.Contexts[k.context].Namespace != "":
		return k.config.Contexts[k.context].Namespace
	}
	return "default"
}

// clientConfig turns the chosen context into a client configuration, with the caller's environment for plugins.
func (k *kubeconfig) clientConfig(o Options) (*rest.Config, error) {
	if len(o.AsGroups) > 0 && o.As == "" {
		return nil, problem.New(problem.Usage, "Add --as with the user to impersonate.", "--as-group needs --as")
	}
	if name := k.config.Contexts[k.context].Cluster; k.config.Clusters[name] == nil {
		return nil, problem.New(problem.Kubeconfig, "Correct this context in the kubeconfig; kubectl shows the same error.",
			"context %q of the kubeconfig is for a cluster %q that the kubeconfig does not have", k.context, name)
	}
	overrides := &clientcmd.ConfigOverrides{
		AuthInfo: clientcmdapi.AuthInfo{Impersonate: o.As, ImpersonateGroups: o.AsGroups},
	}
	config, err := clientcmd.NewNonInteractiveClientConfig(*k.config, k.context, overrides, nil).ClientConfig()
	if err != nil {
		return nil, problem.Wrap(err, problem.Kubeconfig, "Correct this context in the kubeconfig; kubectl shows the same error.",
			"use context %q of the kubeconfig", k.context)
	}
	if config.ExecProvider != nil {
		k.env.prepare(config.ExecProvider, o.WorkingDirectory)
	}
	return config, nil
}
