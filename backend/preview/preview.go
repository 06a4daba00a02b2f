// SPDX-License-Identifier: Apache-2.0

// Package preview says how a request is made that an intercept takes: the header line, the same as W3C Baggage, a command
// to paste into a terminal, and a text for a teammate.
//
// It is pure: it makes text of what it is given. It must not ask the cluster or this machine anything.
package preview

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	core "k8s.io/api/core/v1"
)

// Header is the header that the personal match goes by; BaggageMember is the member of the header baggage that counts as
// the same (W3C Baggage).
const (
	Header        = "x-fairlead"
	BaggageMember = "fairlead"
)

// Intercept is what of an intercept a request depends on.
type Intercept struct {
	User      string
	Context   string // by which the owner's kubeconfig names the cluster; empty leaves the link out
	Namespace string
	Kind      string
	Workload  string
	URL       string // of the Service, as URL makes it; empty if there is none
	All       bool
	Key       string
	Headers   []Condition
	Path      *Condition
}

// Condition is one on a header, or on the path.
type Condition struct {
	Name  string // of the header
	How   string // exact, prefix or regex
	Value string
}

// Preview is how a request is made that is meant. Fields are empty where there is nothing to say.
type Preview struct {
	Header  string // header lines, such as "x-fairlead: ana-7f3c"
	Baggage string // such as "baggage: fairlead=ana-7f3c"
	Command string // for a shell
	Share   string
}

// Of makes the preview of an intercept.
func Of(i Intercept) Preview {
	var p Preview
	headers := headerLines(i)
	p.Header = strings.Join(headers, "\n")
	if i.Key != "" {
		p.Baggage = "baggage: " + BaggageMember + "=" + i.Key
	}
	p.Command = command(i, headers)
	p.Share = share(i, p)
	return p
}

// headerLines are the headers that make a request one that is meant, as far as one can be named: of a regular expression
// none can.
func headerLines(i Intercept) []string {
	var lines []string
	if i.Key != "" {
		lines = append(lines, Header+": "+i.Key)
	}
	for _, h := range i.Headers {
		if h.How != "regex" {
			lines = append(lines, h.Name+": "+h.Value)
		}
	}
	return lines
}

// command is a line for a shell that makes a request to the Service; empty if there is none.
func command(i Intercept, headers []string) string {
	scheme, rest, ok := strings.Cut(i.URL, "://")
	if !ok {
		return ""
	}
	var words []string
	switch scheme {
	case "http", "https":
		words = []string{"curl"}
		if scheme == "https" {
			words = append(words, "-k")
		}
		rest = i.URL + strings.TrimPrefix(path(i), "/")
	case "h2c":
		words = []string{"curl", "--http2-prior-knowledge"}
		rest = "http://" + rest + strings.TrimPrefix(path(i), "/")
	case "grpc":
		words = []string{"grpcurl", "-plaintext"}
	case "tcp":
		host, port, _ := strings.Cut(rest, ":")
		return "nc " + host + " " + port
	default:
		return ""
	}
	for _, h := range headers {
		words = append(words, "-H", quote(h))
	}
	words = append(words, quote(rest))
	if scheme == "grpc" {
		words = append(words, "list")
	}
	return strings.Join(words, " ")
}

// path is one that the intercept takes.
func path(i Intercept) string {
	if i.Path == nil || i.Path.How == "regex" {
		return "/"
	}
	return i.Path.Value
}

// share is a text to paste into a chat.
func share(i Intercept, p Preview) string {
	var b strings.Builder
	switch {
	case i.All:
		fmt.Fprintf(&b, "All traffic of %s goes to %s's laptop.", i.Workload, i.User)
	case p.Header != "":
		fmt.Fprintf(&b, "Requests to %s with this header go to %s's laptop:\n  %s", i.Workload, i.User, strings.ReplaceAll(p.Header, "\n", "\n  "))
	default:
		fmt.Fprintf(&b, "Some requests to %s go to %s's laptop.", i.Workload, i.User)
	}
	if i.Path != nil {
		fmt.Fprintf(&b, "\nOnly with a path that %s %s.", map[string]string{"exact": "is", "prefix": "begins with", "regex": "matches"}[i.Path.How], i.Path.Value)
	}
	if p.Baggage != "" {
		fmt.Fprintf(&b, "\nTracing libraries pass it on from service to service as:\n  %s", p.Baggage)
	}
	if p.Command != "" {
		fmt.Fprintf(&b, "\nFrom a laptop that is connected with Fairlead:\n  %s", p.Command)
	}
	if link := Link(i); link != "" {
		fmt.Fprintf(&b, "\nOpen it in Fairlead:\n  %s", link)
	}
	return b.String()
}

// Link is an address that opens Fairlead at the intercepted workload; empty where the cluster has no name.
func Link(i Intercept) string {
	if i.Context == "" || i.Workload == "" {
		return ""
	}
	parts := []string{"context", i.Context, "namespace", i.Namespace, "workload", strings.TrimPrefix(strings.ToLower(i.Kind)+"/"+i.Workload, "/"), "key", i.Key}
	link := "fairlead://intercept"
	sign := "?"
	for n := 0; n < len(parts); n += 2 {
		if parts[n+1] != "" {
			link += sign + parts[n] + "=" + url.QueryEscape(parts[n+1])
			sign = "&"
		}
	}
	return link
}

// ServicePort names a port of one of some Services, by their places in the lists.
type ServicePort struct{ Service, Port int }

// URL is where requests go that reach an intercepted port: by the name of the Service in its namespace, with the scheme
// that the port is said to speak; grpc, h2c and tcp where it is not plain HTTP. Of several it is the one that speaks
// HTTP most plainly. It is empty if there is none.
func URL(services []core.Service, ports []ServicePort) string {
	type choice struct {
		rank int
		url  string
	}
	var choices []choice
	for _, p := range ports {
		service := services[p.Service]
		port := service.Spec.Ports[p.Port]
		scheme, rank := schemeOf(port)
		choices = append(choices, choice{rank, urlOf(scheme, service.Name+"."+service.Namespace, int(port.Port))})
	}
	if len(choices) == 0 {
		return ""
	}
	return slices.MinFunc(choices, func(a, b choice) int { return cmp.Compare(a.rank, b.rank) }).url
}

// schemeOf guesses what a Service port speaks, from what it says of itself first; a lower rank is a better guess.
func schemeOf(port core.ServicePort) (scheme string, rank int) {
	said := strings.ToLower(port.Name)
	if port.AppProtocol != nil {
		said = strings.ToLower(*port.AppProtocol)
	}
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return said == word || strings.HasPrefix(said, word+"-") })
	}
	switch {
	case has("http", "web", "api", "http1", "kubernetes.io/ws", "ws"):
		return "http", 0
	case has("https", "tls", "kubernetes.io/wss", "wss"):
		return "https", 1
	case has("grpc", "grpc-web", "kubernetes.io/grpc"):
		return "grpc", 2
	case has("h2c", "http2", "kubernetes.io/h2c"):
		return "h2c", 2
	case has("tcp", "redis", "mysql", "mongo", "postgres", "postgresql", "amqp", "kafka"):
		return "tcp", 5
	case port.Port == 443 || port.Port == 8443:
		return "https", 3
	case port.Port == 80 || port.Port == 8080 || port.Port == 8000 || port.Port == 3000:
		return "http", 3
	case port.AppProtocol != nil:
		return "tcp", 5
	}
	return "http", 4
}

// SpeaksTLS reports whether a Service port is said to speak TLS, or has the number of HTTPS and says nothing.
func SpeaksTLS(port core.ServicePort) bool {
	scheme, _ := schemeOf(port)
	return scheme == "https"
}

func urlOf(scheme, host string, port int) string {
	usual := map[string]int{"http": 80, "https": 443, "h2c": 80}
	if usual[scheme] != port {
		host += ":" + strconv.Itoa(port)
	}
	if scheme == "grpc" || scheme == "tcp" {
		return scheme + "://" + host
	}
	return scheme + "://" + host + "/"
}

// quote quotes a word for a POSIX shell where it needs it.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:@/%+=,-", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
