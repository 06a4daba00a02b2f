// SPDX-License-Identifier: Apache-2.0

// Package environment finds out the environment variables of a workload's container with the user's own rights: from its
// spec, as the kubelet makes them (envFrom, env with references between variables, ConfigMaps, Secrets, the downward API, and
// the variables that point to Services), and, where the user may run commands in the pod, from the process that runs there,
// which has those of the image, too.
//
// It owns that and the formats that variables are written in. What can't be read is listed with the reason, never
// guessed. It must not log values: they may be secrets.
package environment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/kubectl/pkg/util/fieldpath"
	"k8s.io/kubectl/pkg/util/resource"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// Variable is one environment variable.
type Variable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	// Source is where the value is from, such as "configmap app/LEVEL"; "spec" for the pod's own, "process" for what only the
	// running process says.
	Source string `json:"source"`
	// Secret: the value is from a Secret, or made with one.
	Secret bool `json:"secret,omitempty"`
}

// Missing is a variable, or a set of them, that could not be read.
type Missing struct {
	Name   string `json:"name,omitempty"` // empty for a whole ConfigMap, Secret or the Services
	Source string `json:"source"`
	Why    string `json:"why"`
}

// Environment is what a container has.
type Environment struct {
	Container string     `json:"container"`
	Pod       string     `json:"pod,omitempty"` // whose values those are that differ from pod to pod
	Variables []Variable `json:"variables"`     // sorted by name
	Missing   []Missing  `json:"missing,omitempty"`
	Notes     []string   `json:"notes,omitempty"`
}

// Reader is what is read of a cluster; *cluster.Access is one.
type Reader interface {
	ConfigMap(ctx context.Context, namespace, name string) (*core.ConfigMap, error)
	Secret(ctx context.Context, namespace, name string) (*core.Secret, error)
	Service(ctx context.Context, namespace, name string) (*core.Service, error)
	Services(ctx context.Context, namespace string) ([]core.Service, error)
	PodsOf(ctx context.Context, w *cluster.FoundWorkload) ([]core.Pod, error)
}

// Resolve finds out the environment of a container of a workload; the empty name is the main one. Errors are
// *problem.Problem; what is merely missing is in the Environment.
func Resolve(ctx context.Context, reader Reader, w *cluster.FoundWorkload, container string) (Environment, error) {
	r := &resolver{ctx: ctx, reader: reader, namespace: w.Namespace, values: map[string]Variable{}, configMaps: map[string]got[*core.ConfigMap]{}, secrets: map[string]got[*core.Secret]{}}
	r.pod = &core.Pod{ObjectMeta: w.Template.ObjectMeta, Spec: w.Template.Spec}
	r.pod.Namespace = w.Namespace
	pods, err := reader.PodsOf(ctx, w)
	switch {
	case err != nil:
		r.env.Notes = append(r.env.Notes, "the pods can't be looked at, so that what differs from pod to pod is missing: "+err.Error())
	case len(pods) == 0:
		r.env.Notes = append(r.env.Notes, "no pod runs, so that what differs from pod to pod is missing")
	default:
		r.pod, r.running = &pods[0], true
		r.env.Pod = r.pod.Name
	}
	chosen, err := r.choose(w, container)
	if err != nil {
		return Environment{}, err
	}
	r.env.Container = chosen.Name
	answer := r.askProcess(chosen.Name)
	r.links()
	r.from(chosen.EnvFrom)
	for _, v := range chosen.Env {
		r.add(chosen, v)
	}
	for name, link := range r.services {
		if _, ok := r.values[name]; !ok {
			r.values[name] = link
		}
	}
	switch got := <-answer; {
	case got.err == nil:
		r.merge(chosen, got.object)
	case r.running:
		r.env.Notes = append(r.env.Notes, "what the image itself sets is missing: "+whyNotRunning(got.err))
	default:
		r.env.Notes = append(r.env.Notes, "what the image itself sets is missing")
	}
	r.env.Variables = slices.SortedFunc(maps.Values(r.values), func(a, b Variable) int { return cmp.Compare(a.Name, b.Name) })
	return r.env, nil
}

// askProcess asks the running process while the spec is being read.
func (r *resolver) askProcess(container string) <-chan got[map[string]string] {
	answer := make(chan got[map[string]string], 1)
	runner, ok := r.reader.(Runner)
	if !ok || !r.running {
		answer <- got[map[string]string]{err: errNotAsked}
		return answer
	}
	pod := r.pod
	go func() {
		values, err := running(r.ctx, runner, pod, container)
		answer <- got[map[string]string]{values, err}
	}()
	return answer
}

// errNotAsked says that there is no process that could be asked.
var errNotAsked = errors.New("the process that runs can't be asked")

// got is what reading an object came to.
type got[T any] struct {
	object T
	err    error
}

// resolver makes one Environment.
type resolver struct {
	ctx       context.Context
	reader    Reader
	namespace string
	pod       *core.Pod
	running   bool // pod is one that runs, rather than what pods are made from

	services   map[string]Variable
	values     map[string]Variable
	configMaps map[string]got[*core.ConfigMap]
	secrets    map[string]got[*core.Secret]
	env        Environment
}

// defaultContainer is the annotation by which kubectl chooses a container.
const defaultContainer = "kubectl.kubernetes.io/default-container"

// choose finds the container.
func (r *resolver) choose(w *cluster.FoundWorkload, name string) (*core.Container, error) {
	containers := slices.Concat(r.pod.Spec.Containers, r.pod.Spec.InitContainers)
	var names []string
	for _, c := range r.pod.Spec.Containers {
		names = append(names, c.Name)
	}
	wanted := cmp.Or(name, r.pod.Annotations[defaultContainer])
	for i := range containers {
		if containers[i].Name == wanted {
			return &containers[i], nil
		}
	}
	if name != "" || len(names) == 0 {
		p := problem.New(problem.NotFound, "Name one of these with --container.", "%s has no container %q", w, name)
		p.Details = names
		return nil, p
	}
	if len(names) > 1 {
		r.env.Notes = append(r.env.Notes, fmt.Sprintf("this is the container %s; the others are %s", names[0], strings.Join(names[1:], ", ")))
	}
	return &containers[0], nil
}

// miss notes what could not be read, and why.
func (r *resolver) miss(name, source string, err error) {
	why := err.Error()
	if p, ok := errors.AsType[*problem.Problem](err); ok && p.Code == problem.NotFound {
		why = "it is not there"
	}
	r.env.Missing = append(r.env.Missing, Missing{Name: name, Source: source, Why: why})
}

// from adds whole ConfigMaps and Secrets, later ones over earlier ones.
func (r *resolver) from(sources []core.EnvFromSource) {
	for _, s := range sources {
		switch {
		case s.ConfigMapRef != nil:
			source := "configmap " + s.ConfigMapRef.Name
			m, err := r.configMap(s.ConfigMapRef.Name)
			if err != nil {
				r.missUnless(s.ConfigMapRef.Optional, "", source, err)
				continue
			}
			for key, value := range m.Data {
				r.set(Variable{Name: s.Prefix + key, Value: value, Source: source + "/" + key})
			}
		case s.SecretRef != nil:
			source := "secret " + s.SecretRef.Name
			m, err := r.secret(s.SecretRef.Name)
			if err != nil {
				r.missUnless(s.SecretRef.Optional, "", source, err)
				continue
			}
			for key, value := range m.Data {
				r.set(Variable{Name: s.Prefix + key, Value: string(value), Source: source + "/" + key, Secret: true})
			}
		}
	}
}

func (r *resolver) set(v Variable) { r.values[v.Name] = v }

// missUnless is miss, but for what is optional and merely not there.
func (r *resolver) missUnless(optional *bool, name, source string, err error) {
	if optional != nil && *optional && errors.Is(err, problem.New(problem.NotFound, "", "")) {
		return
	}
	r.miss(name, source, err)
}

// add adds one variable of the container's list; what it refers to has been added before it.
func (r *resolver) add(c *core.Container, v core.EnvVar) {
	switch {
	case v.Value != "" || v.ValueFrom == nil:
		value, secret := r.expand(v.Value)
		r.set(Variable{Name: v.Name, Value: value, Source: "spec", Secret: secret})
	case v.ValueFrom.ConfigMapKeyRef != nil:
		ref := v.ValueFrom.ConfigMapKeyRef
		source := "configmap " + ref.Name + "/" + ref.Key
		m, err := r.configMap(ref.Name)
		if err == nil {
			if value, ok := m.Data[ref.Key]; ok {
				r.set(Variable{Name: v.Name, Value: value, Source: source})
				return
			}
			err = noKey(ref.Key)
		}
		r.missUnless(ref.Optional, v.Name, source, err)
	case v.ValueFrom.SecretKeyRef != nil:
		ref := v.ValueFrom.SecretKeyRef
		source := "secret " + ref.Name + "/" + ref.Key
		m, err := r.secret(ref.Name)
		if err == nil {
			if value, ok := m.Data[ref.Key]; ok {
				r.set(Variable{Name: v.Name, Value: string(value), Source: source, Secret: true})
				return
			}
			err = noKey(ref.Key)
		}
		r.missUnless(ref.Optional, v.Name, source, err)
	case v.ValueFrom.FieldRef != nil:
		r.addField(v.Name, v.ValueFrom.FieldRef)
	case v.ValueFrom.ResourceFieldRef != nil:
		r.addResource(c, v.Name, v.ValueFrom.ResourceFieldRef)
	default:
		r.miss(v.Name, "a file of the pod", errors.New("it is made inside the pod"))
	}
}

func noKey(key string) error {
	return problem.New(problem.NotFound, "", "it has no key %s", key)
}

// addField adds what the downward API says of the pod.
func (r *resolver) addField(name string, ref *core.ObjectFieldSelector) {
	source := "field " + ref.FieldPath
	ofPod := map[string]string{
		"spec.nodeName": r.pod.Spec.NodeName, "spec.serviceAccountName": cmp.Or(r.pod.Spec.ServiceAccountName, "default"),
		"status.hostIP": r.pod.Status.HostIP, "status.podIP": r.pod.Status.PodIP,
	}
	var hosts, ips []string
	for _, ip := range r.pod.Status.HostIPs {
		hosts = append(hosts, ip.IP)
	}
	for _, ip := range r.pod.Status.PodIPs {
		ips = append(ips, ip.IP)
	}
	ofPod["status.hostIPs"], ofPod["status.podIPs"] = strings.Join(hosts, ","), strings.Join(ips, ",")
	value, known := ofPod[ref.FieldPath]
	if !known {
		var err error
		if value, err = fieldpath.ExtractFieldPathAsString(r.pod, ref.FieldPath); err != nil {
			r.miss(name, source, err)
			return
		}
	}
	varies := known && ref.FieldPath != "spec.serviceAccountName" || ref.FieldPath == "metadata.name" || ref.FieldPath == "metadata.uid"
	if varies && !r.running {
		r.miss(name, source, errors.New("it differs from pod to pod, and no pod could be looked at"))
		return
	}
	r.set(Variable{Name: name, Value: value, Source: source})
}

// addResource adds a request or limit of a container. Without a limit, the kubelet takes what the node has, which is not
// known here.
func (r *resolver) addResource(c *core.Container, name string, ref *core.ResourceFieldSelector) {
	source := "resource " + ref.Resource
	if ref.ContainerName != "" && ref.ContainerName != c.Name {
		containers := slices.Concat(r.pod.Spec.Containers, r.pod.Spec.InitContainers)
		i := slices.IndexFunc(containers, func(other core.Container) bool { return other.Name == ref.ContainerName })
		if i < 0 {
			r.miss(name, source, fmt.Errorf("there is no container %s", ref.ContainerName))
			return
		}
		c = &containers[i]
	}
	kind := core.ResourceName(strings.TrimPrefix(ref.Resource, "limits."))
	if limited, set := c.Resources.Limits[kind]; strings.HasPrefix(ref.Resource, "limits.") && (!set || limited.IsZero()) {
		r.miss(name, source, errors.New("the container has no such limit, so that it is what the node has"))
		return
	}
	value, err := resource.ExtractContainerResourceValue(ref, c)
	if err != nil {
		r.miss(name, source, err)
		return
	}
	r.set(Variable{Name: name, Value: value, Source: source})
}

func (r *resolver) configMap(name string) (*core.ConfigMap, error) {
	if known, ok := r.configMaps[name]; ok {
		return known.object, known.err
	}
	found, err := r.reader.ConfigMap(r.ctx, r.namespace, name)
	r.configMaps[name] = got[*core.ConfigMap]{found, err}
	return found, err
}

func (r *resolver) secret(name string) (*core.Secret, error) {
	if known, ok := r.secrets[name]; ok {
		return known.object, known.err
	}
	found, err := r.reader.Secret(r.ctx, r.namespace, name)
	r.secrets[name] = got[*core.Secret]{found, err}
	return found, err
}
