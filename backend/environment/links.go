// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"net"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"
)

// masterService is in every pod's environment, whatever it says of Service links.
const masterService = "kubernetes"

// links finds out the variables that point to Services. The pod has those of the Services that were there when it began;
// here are those that are there now.
func (r *resolver) links() {
	r.services = map[string]Variable{}
	linked := map[string]core.Service{}
	if master, err := r.reader.Service(r.ctx, core.NamespaceDefault, masterService); err == nil {
		linked[masterService] = *master
	} else {
		r.miss("", "service default/"+masterService, err)
	}
	if enabled := r.pod.Spec.EnableServiceLinks; enabled == nil || *enabled {
		services, err := r.reader.Services(r.ctx, r.namespace)
		if err != nil {
			r.miss("", "services of namespace "+r.namespace, err)
		}
		for _, s := range services {
			linked[s.Name] = s
		}
	}
	for _, s := range linked {
		if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == core.ClusterIPNone || len(s.Spec.Ports) == 0 {
			continue
		}
		for name, value := range linksTo(s) {
			r.services[name] = Variable{Name: name, Value: value, Source: "service " + s.Name}
		}
	}
}

// linksTo are the variables that point to one Service, as the kubelet makes them.
func linksTo(s core.Service) map[string]string {
	links := map[string]string{}
	upper := func(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "-", "_")) }
	service := upper(s.Name)
	links[service+"_SERVICE_HOST"] = s.Spec.ClusterIP
	links[service+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
	for i, p := range s.Spec.Ports {
		number := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			links[service+"_SERVICE_PORT_"+upper(p.Name)] = number
		}
		protocol := "tcp"
		if p.Protocol != "" {
			protocol = strings.ToLower(string(p.Protocol))
		}
		url := protocol + "://" + net.JoinHostPort(s.Spec.ClusterIP, number)
		if i == 0 {
			links[service+"_PORT"] = url
		}
		port := service + "_PORT_" + number + "_" + strings.ToUpper(protocol)
		links[port] = url
		links[port+"_PROTO"] = protocol
		links[port+"_PORT"] = number
		links[port+"_ADDR"] = s.Spec.ClusterIP
	}
	return links
}

// expand replaces $(NAME) by the value of a variable that was added before, or of a Service; $$ stands for $, and a
// reference to nothing stays as it is (Kubernetes API, EnvVar.value). It reports whether a secret went into it.
func (r *resolver) expand(text string) (expanded string, secret bool) {
	var b strings.Builder
	for text != "" {
		i := strings.IndexByte(text, '$')
		if i < 0 || i+1 == len(text) {
			break
		}
		b.WriteString(text[:i])
		text = text[i:]
		end := strings.IndexByte(text, ')')
		switch {
		case text[1] == '$':
			b.WriteByte('$')
			text = text[2:]
		case text[1] == '(' && end > 0:
			name := text[2:end]
			v, ok := r.values[name]
			if !ok {
				v, ok = r.services[name]
			}
			if ok {
				b.WriteString(v.Value)
				secret = secret || v.Secret
			} else {
				b.WriteString(text[:end+1])
			}
			text = text[end+1:]
		default:
			b.WriteString(text[:2])
			text = text[2:]
		}
	}
	b.WriteString(text)
	return b.String(), secret
}
