// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"text/template"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"

	shop "github.com/fairlead-dev/fairlead/tests/shop/manifests"
)

//go:embed manifests/*.yaml
var addons embed.FS

// ShopNamespace is where the sample shop is.
const ShopNamespace = "shop"

// fieldManager names this package in managed fields.
const fieldManager = "fairlead-test-cluster"

// deployAddons creates what clusters come with: cluster DNS, and the rights of AdminGroup.
func (c *Cluster) deployAddons(ctx context.Context) error {
	values := map[string]any{
		"Image": coreDNSImage, "Address": dnsService4.String(), "Dual": c.plan.dual(), "AdminGroup": AdminGroup,
	}
	manifests, err := template.ParseFS(addons, "manifests/*.yaml")
	if err != nil {
		return fmt.Errorf("parse manifests: %w", err)
	}
	for _, manifest := range manifests.Templates() {
		var text bytes.Buffer
		if err := manifest.Execute(&text, values); err != nil {
			return fmt.Errorf("fill in manifest: %w", err)
		}
		if err := c.Apply(ctx, &text); err != nil {
			return err
		}
	}
	return nil
}

// DeployShop creates the sample shop in a namespace, which is created too, and waits until it answers on every node.
func (c *Cluster) DeployShop(ctx context.Context, namespace string) error {
	if err := c.LoadImage(ctx, Image{Ref: ShopImage, Name: "shop", Binary: c.binaries.Shop}); err != nil {
		return err
	}
	if err := c.applyShop(ctx, namespace); err != nil {
		return err
	}
	if err := c.WaitWorkloads(ctx, namespace); err != nil {
		return err
	}
	return c.WaitServices(ctx, namespace)
}

// applyShop applies the shop's manifests, with their namespace replaced.
func (c *Cluster) applyShop(ctx context.Context, namespace string) error {
	return fs.WalkDir(shop.Files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		manifest, err := shop.Files.ReadFile(path)
		if err != nil {
			return fmt.Errorf("read manifest of shop: %w", err)
		}
		return c.apply(ctx, bytes.NewReader(manifest), func(object *unstructured.Unstructured) {
			if object.GetKind() == "Namespace" {
				object.SetName(namespace)
			} else {
				object.SetNamespace(namespace)
			}
		})
	})
}

// Apply creates or updates the objects of a YAML stream, as kubectl apply --server-side does. Each object must have a
// namespace, if its kind has one.
func (c *Cluster) Apply(ctx context.Context, manifest io.Reader) error {
	return c.apply(ctx, manifest, func(*unstructured.Unstructured) {})
}

func (c *Cluster) apply(ctx context.Context, manifest io.Reader, change func(*unstructured.Unstructured)) error {
	client, err := dynamic.NewForConfig(c.rest)
	if err != nil {
		return fmt.Errorf("make dynamic client: %w", err)
	}
	mapper, err := c.mapper()
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(manifest, 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("decode manifest: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		change(object)
		kind := object.GroupVersionKind()
		mapping, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err != nil {
			return fmt.Errorf("find resource of %s: %w", kind, err)
		}
		resource := client.Resource(mapping.Resource).Namespace(object.GetNamespace())
		// A new cluster may still miss what its controllers put there; the API server refuses, and then it passes.
		err = poll(ctx, fmt.Sprintf("%s %s to be accepted", kind.Kind, object.GetName()), acceptLimit, func() error {
			_, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true})
			return err
		})
		if err != nil {
			return err
		}
	}
}

// acceptLimit is how long the API server may refuse an object.
const acceptLimit = 20 * time.Second

// mapper knows the resources of the API server as they are now.
func (c *Cluster) mapper() (*restmapper.DeferredDiscoveryRESTMapper, error) {
	client, err := discovery.NewDiscoveryClientForConfig(c.rest)
	if err != nil {
		return nil, fmt.Errorf("make discovery client: %w", err)
	}
	return restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client)), nil
}

// WaitWorkloads waits until every Deployment, StatefulSet and DaemonSet of a namespace has what it wants, and is not
// in the middle of a rollout.
func (c *Cluster) WaitWorkloads(ctx context.Context, namespace string) error {
	return poll(ctx, "workloads of namespace "+namespace, 2*time.Minute, func() error { return c.workloadsReady(ctx, namespace) })
}

func (c *Cluster) workloadsReady(ctx context.Context, namespace string) error {
	apps := c.kubernetes.AppsV1()
	deployments, err := apps.Deployments(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range deployments.Items {
		wanted := replicas(item.Spec.Replicas)
		if item.Status.ObservedGeneration < item.Generation || item.Status.UpdatedReplicas < wanted ||
			item.Status.AvailableReplicas < wanted || item.Status.Replicas > wanted {
			return fmt.Errorf("deployment %s has %d of %d ready", item.Name, item.Status.AvailableReplicas, wanted)
		}
	}
	sets, err := apps.StatefulSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range sets.Items {
		wanted := replicas(item.Spec.Replicas)
		if item.Status.ObservedGeneration < item.Generation || item.Status.ReadyReplicas < wanted || item.Status.UpdatedReplicas < wanted {
			return fmt.Errorf("stateful set %s has %d of %d ready", item.Name, item.Status.ReadyReplicas, wanted)
		}
	}
	daemons, err := apps.DaemonSets(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, item := range daemons.Items {
		if item.Status.ObservedGeneration < item.Generation || item.Status.NumberAvailable < item.Status.DesiredNumberScheduled {
			return fmt.Errorf("daemon set %s has %d of %d ready", item.Name, item.Status.NumberAvailable, item.Status.DesiredNumberScheduled)
		}
	}
	return nil
}

func replicas(wanted *int32) int32 {
	if wanted == nil {
		return 1
	}
	return *wanted
}
