// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// getter is how Helm gets its clients. It implements genericclioptions.RESTClientGetter.
type getter struct {
	config    *rest.Config
	namespace string
	discovery func() (discovery.CachedDiscoveryInterface, error)
}

func newGetter(config *rest.Config, namespace string) *getter {
	return &getter{
		config: config, namespace: namespace,
		discovery: sync.OnceValues(func() (discovery.CachedDiscoveryInterface, error) {
			client, err := discovery.NewDiscoveryClientForConfig(config)
			if err != nil {
				return nil, err
			}
			return memory.NewMemCacheClient(client), nil
		}),
	}
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	return g.discovery()
}

// ToRESTMapper implements genericclioptions.RESTClientGetter. The chart's kinds are known without asking the API
// server for all that it has, which takes a second in large clusters; any other is asked for.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	client, err := g.discovery()
	if err != nil {
		return nil, err
	}
	return meta.FirstHitRESTMapper{MultiRESTMapper: meta.MultiRESTMapper{
		chartKinds(), restmapper.NewDeferredDiscoveryRESTMapper(client),
	}}, nil
}

// ToRawKubeConfigLoader implements genericclioptions.RESTClientGetter. Helm asks it for the namespace only.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}

// chartKinds knows the kinds of the chart's objects.
func chartKinds() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	for kind, scope := range kinds() {
		mapper.Add(kind, scope)
	}
	policies := schema.GroupVersion{Group: "networking.k8s.io", Version: "v1"}
	mapper.AddSpecific(policies.WithKind("NetworkPolicy"), policies.WithResource("networkpolicies"), policies.WithResource("networkpolicy"), meta.RESTScopeNamespace)
	return mapper
}

// kinds are those of the chart's objects, and whether they are in namespaces.
func kinds() map[schema.GroupVersionKind]meta.RESTScope {
	all := map[schema.GroupVersionKind]meta.RESTScope{}
	for scope, kinds := range map[meta.RESTScope][]schema.GroupVersionKind{
		meta.RESTScopeNamespace: {
			{Version: "v1", Kind: "ServiceAccount"}, {Version: "v1", Kind: "Secret"}, {Version: "v1", Kind: "Service"},
			{Group: "apps", Version: "v1", Kind: "Deployment"},
			{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"},
			{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
			{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
			{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
			{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
		},
		meta.RESTScopeRoot: {
			{Version: "v1", Kind: "Namespace"},
			{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
			{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
			{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
			{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
		},
	} {
		for _, kind := range kinds {
			all[kind] = scope
		}
	}
	return all
}
