// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
)

// portWish is one --port as it was written: LOCAL[:REMOTE][/PROTOCOL].
type portWish struct {
	text     string
	local    int    // 0 is the same as the remote one
	remote   string // number or name; empty is the only one
	protocol string // TCP, UDP or empty for the port's own
}

// readPort reads LOCAL, LOCAL:REMOTE, :REMOTE or NAME, each possibly with /tcp or /udp behind.
func readPort(text string) (portWish, error) {
	w := portWish{text: text}
	wrong := problem.New(problem.Usage, "Write LOCAL:REMOTE, such as 3000:8080 or 3000:http; 3000 alone for the only port; behind it /udp where it is one.",
		"--port %q is not a port", text)
	ports, protocol, found := strings.Cut(text, "/")
	if w.protocol = strings.ToUpper(protocol); found && w.protocol != "TCP" && w.protocol != "UDP" {
		return w, wrong
	}
	local, remote, pair := strings.Cut(ports, ":")
	switch {
	case pair && remote == "":
		return w, wrong
	case pair:
		w.remote = remote
	case local != "" && !isNumber(local):
		w.remote, local = local, ""
	}
	if local != "" {
		n, err := strconv.Atoi(local)
		if err != nil || n < 1 || n > 65535 {
			return w, wrong
		}
		w.local = n
	}
	if isNumber(w.remote) {
		if n, err := strconv.Atoi(w.remote); err != nil || n < 1 || n > 65535 {
			return w, wrong
		}
	}
	if w.local == 0 && w.remote == "" {
		return w, wrong
	}
	return w, nil
}

func isNumber(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// remotePort is a port that a workload is known to have.
type remotePort struct {
	number   int
	protocol string
	name     string // of the container port
}

func (p remotePort) String() string {
	text := strconv.Itoa(p.number)
	if p.name != "" {
		text += " (" + p.name + ")"
	}
	if p.protocol != "TCP" {
		text += "/" + strings.ToLower(p.protocol)
	}
	return text
}

// chosenPort is a port of the workload and where its traffic goes.
type chosenPort struct {
	number   int
	protocol string
	local    string // host:port
}

// choosePorts finds out which ports of the workload are meant. Errors are *problem.Problem and list the ports there are.
func choosePorts(w *cluster.FoundWorkload, container, address string, wishes []portWish) ([]chosenPort, error) {
	if container != "" && !slices.ContainsFunc(containersOf(w), func(c core.Container) bool { return c.Name == container }) {
		p := problem.New(problem.NotFound, "Name one of these with --container.", "%s has no container %q", w, container)
		for _, c := range containersOf(w) {
			p.Details = append(p.Details, c.Name)
		}
		return nil, p
	}
	known := portsOf(w, container)
	if len(wishes) == 0 {
		wishes = []portWish{{}}
	}
	var chosen []chosenPort
	for _, wish := range wishes {
		remote, err := choosePort(w, known, wish)
		if err != nil {
			return nil, err
		}
		local, err := localAddress(address, cmp.Or(wish.local, remote.number))
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(chosen, func(c chosenPort) bool { return c.number == remote.number && c.protocol == remote.protocol }) {
			return nil, problem.New(problem.Usage, "Give each port once.", "port %s of %s is given twice", remote, w)
		}
		chosen = append(chosen, chosenPort{remote.number, remote.protocol, local})
	}
	return chosen, nil
}

// choosePort finds the port that one --port means.
func choosePort(w *cluster.FoundWorkload, known []remotePort, wish portWish) (remotePort, error) {
	fits := func(p remotePort) bool { return wish.protocol == "" || p.protocol == wish.protocol }
	switch {
	case wish.remote == "":
		return theOnlyPort(w, known, wish)
	case isNumber(wish.remote):
		number, _ := strconv.Atoi(wish.remote)
		for _, p := range known {
			if p.number == number && fits(p) {
				return p, nil
			}
		}
		if p, ok := behindServicePort(w, known, func(s core.ServicePort) bool {
			return int(s.Port) == number && fits(remotePort{protocol: protocolOf(s.Protocol)})
		}); ok {
			return p, nil
		}
		return remotePort{number: number, protocol: cmp.Or(wish.protocol, "TCP")}, nil // declared nowhere
	}
	for _, p := range known {
		if p.name == wish.remote && fits(p) {
			return p, nil
		}
	}
	if p, ok := behindServicePort(w, known, func(s core.ServicePort) bool {
		return s.Name == wish.remote && fits(remotePort{protocol: protocolOf(s.Protocol)})
	}); ok {
		return p, nil
	}
	return remotePort{}, withPorts(problem.New(problem.NotFound, "Name one of these, or give a number.", "%s has no port %q", w, wish.remote), known)
}

// theOnlyPort is the port that is meant where none is named.
func theOnlyPort(w *cluster.FoundWorkload, known []remotePort, wish portWish) (remotePort, error) {
	protocol := cmp.Or(wish.protocol, "TCP")
	var fitting []remotePort
	for _, p := range known {
		if p.protocol == protocol {
			fitting = append(fitting, p)
		}
	}
	if len(fitting) == 1 {
		return fitting[0], nil
	}
	for _, p := range fitting {
		if p.number == wish.local {
			return p, nil
		}
	}
	local := "3000"
	if wish.local != 0 {
		local = strconv.Itoa(wish.local)
	}
	if len(fitting) == 0 {
		return remotePort{}, withPorts(problem.New(problem.Usage, "Say which the app listens on, such as --port "+local+":8080.", "%s declares no %s port", w, protocol), known)
	}
	return remotePort{}, withPorts(problem.New(problem.Usage, "Say which, such as --port "+local+":"+strconv.Itoa(fitting[0].number)+".", "%s has several %s ports", w, protocol), known)
}

func withPorts(p *problem.Problem, known []remotePort) *problem.Problem {
	for _, port := range known {
		p.Details = append(p.Details, port.String())
	}
	return p
}

// behindServicePort finds the container's port behind the first Service port that is meant.
func behindServicePort(w *cluster.FoundWorkload, known []remotePort, meant func(core.ServicePort) bool) (remotePort, bool) {
	for _, s := range w.Services {
		for _, port := range s.Spec.Ports {
			if !meant(port) {
				continue
			}
			if number := targetOf(w, port); number != 0 {
				for _, p := range known {
					if p.number == number && p.protocol == protocolOf(port.Protocol) {
						return p, true
					}
				}
				return remotePort{number: number, protocol: protocolOf(port.Protocol)}, true
			}
		}
	}
	return remotePort{}, false
}

// targetOf is the container's port that a Service port leads to; 0 if its name is unknown.
func targetOf(w *cluster.FoundWorkload, port core.ServicePort) int {
	if port.TargetPort.StrVal == "" {
		return cmp.Or(int(port.TargetPort.IntVal), int(port.Port))
	}
	for _, c := range containersOf(w) {
		for _, p := range c.Ports {
			if p.Name == port.TargetPort.StrVal && protocolOf(p.Protocol) == protocolOf(port.Protocol) {
				return int(p.ContainerPort)
			}
		}
	}
	return 0
}

// portsOf are the ports that containers declare and those that Services lead to, in order.
func portsOf(w *cluster.FoundWorkload, container string) []remotePort {
	var ports []remotePort
	add := func(p remotePort) {
		if (p.protocol == "TCP" || p.protocol == "UDP") && p.number != 0 &&
			!slices.ContainsFunc(ports, func(o remotePort) bool { return o.number == p.number && o.protocol == p.protocol }) {
			ports = append(ports, p)
		}
	}
	others := map[string]bool{} // of other containers than the one that is meant
	for _, c := range containersOf(w) {
		for _, p := range c.Ports {
			port := remotePort{int(p.ContainerPort), protocolOf(p.Protocol), p.Name}
			if container == "" || c.Name == container {
				add(port)
			} else {
				others[fmt.Sprint(port.number, port.protocol)] = true
			}
		}
	}
	for _, s := range w.Services {
		for _, p := range s.Spec.Ports {
			number := targetOf(w, p)
			if !others[fmt.Sprint(number, protocolOf(p.Protocol))] {
				add(remotePort{number: number, protocol: protocolOf(p.Protocol)})
			}
		}
	}
	return ports
}

// containersOf are the containers that run side by side: the app's, and sidecars.
func containersOf(w *cluster.FoundWorkload) []core.Container {
	containers := slices.Clone(w.Template.Spec.Containers)
	for _, c := range w.Template.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == core.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	return containers
}

func protocolOf(p core.Protocol) string { return cmp.Or(strings.ToUpper(string(p)), "TCP") }

// loopback is where programs under development listen.
const loopback = "127.0.0.1"

// localAddress puts together where on the laptop traffic goes.
func localAddress(host string, port int) (string, error) {
	host = strings.TrimSuffix(strings.TrimPrefix(cmp.Or(host, loopback), "["), "]")
	if strings.EqualFold(host, "localhost") {
		host = loopback
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.IsUnspecified() {
			return "", problem.New(problem.Usage, "A program that listens on all addresses is reached at 127.0.0.1.", "--address %s is not the address of a host", host)
		}
	} else if host == "" || strings.ContainsAny(host, "/:@[] ") || len(host) > 253 {
		return "", problem.New(problem.Usage, "Give an address such as 127.0.0.1, [::1] or 172.17.0.2, or a host's name.", "--address %q is not an address", host)
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}
