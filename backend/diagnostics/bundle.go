// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/redact"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// File is one file of a support bundle.
type File struct {
	Name string
	What string // in words, with what is left out of it
	Text []byte
}

// BundleEnvironment is what there is for a support bundle.
type BundleEnvironment struct {
	Environment
	Snapshot any    // of the daemon; it is written as JSON
	LogFile  string // of the daemon
	Now      time.Time
}

const (
	// bundleTimeout bounds the making of a bundle: it is made when something does not work.
	bundleTimeout = 20 * time.Second
	// mostLog is how much of the daemon's log is in a bundle, in bytes, from its end.
	mostLog = 1 << 20
	// gatewayLines is how many lines of a gateway pod's log are in it.
	gatewayLines = 300
)

// Bundle collects what helps somebody who is to find out what is wrong, without what is secret: no credentials, keys,
// certificates, cookies, query strings, or values of variables. It never fails: a file that can't be made says why.
func Bundle(ctx context.Context, env BundleEnvironment) []File {
	ctx, cancel := context.WithTimeout(ctx, bundleTimeout)
	defer cancel()
	files := []File{
		{Name: "doctor.txt", What: "The checks that 'fairlead doctor' makes, and what they found."},
		{Name: "status.json", What: "The connection and all that is shown on the page, with what happened lately and the settings. Values of secret fields are left out."},
		{Name: "daemon.log", What: "The last part of the background program's log. Credentials and query strings are left out."},
		{Name: "helper.json", What: "Version and state of the helper: carriers, handshake, DNS. It has no keys."},
		{Name: "machine.txt", What: "System, network interfaces with their addresses, and how names resolve. Routes are in status.json."},
		{Name: "kubeconfig.json", What: "Names of contexts and the hosts of their servers. Users, tokens, certificates and paths are left out."},
		{Name: "cluster.yaml", What: "Your Connection and your Intercepts, as the cluster has them."},
		{Name: "gateway.txt", What: "State and last log lines of the gateway's pods, as far as you may see them. Credentials are left out."},
	}
	makers := []func(context.Context, BundleEnvironment) ([]byte, error){
		doctorText, statusJSON, logText, helperJSON, machineText, kubeconfigJSON, clusterYAML, gatewayText,
	}
	var wait sync.WaitGroup
	for i, make := range makers {
		wait.Go(func() {
			text, err := make(ctx, env)
			if err != nil {
				text = append(text, "This could not be found out: "+redact.Text(err.Error())+"\n"...)
			}
			files[i].Text = text
		})
	}
	wait.Wait()
	return append([]File{readme(env, files)}, files...)
}

// readme says what the others are.
func readme(env BundleEnvironment, files []File) File {
	var b strings.Builder
	fmt.Fprintf(&b, "Fairlead %s on %s/%s, %s\n\n", env.Version, runtime.GOOS, runtime.GOARCH, env.Now.UTC().Format(time.RFC3339))
	for _, f := range files {
		fmt.Fprintf(&b, "%-16s %s\n", f.Name, f.What)
	}
	b.WriteString("\nRequests that came to the laptop are not in here. Look the files through before you pass them on: names of hosts, users and\nworkloads are in them.\n")
	return File{Name: "README.txt", What: "What this is, and what the other files are.", Text: []byte(b.String())}
}

// BundleName is what the file of a bundle is called.
func BundleName(now time.Time) string {
	return "fairlead-support-" + now.Format("20060102-150405") + ".zip"
}

// Zip puts files into one.
func Zip(files []File, name string, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, f := range files {
		header := &zip.FileHeader{Name: strings.TrimSuffix(name, ".zip") + "/" + f.Name, Method: zip.Deflate, Modified: now}
		part, err := w.CreateHeader(header)
		if err == nil {
			_, err = part.Write(f.Text)
		}
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("write the end of the bundle: %w", err)
	}
	return b.Bytes(), nil
}

func doctorText(ctx context.Context, env BundleEnvironment) ([]byte, error) {
	var b strings.Builder
	for _, c := range Run(ctx, env.Environment) {
		fmt.Fprintf(&b, "%-4s  %-26s %s\n", c.Status, c.Title, redact.Text(c.Message))
		if c.Hint != "" {
			fmt.Fprintf(&b, "      Hint: %s\n", redact.Text(c.Hint))
		}
	}
	return []byte(b.String()), nil
}

func statusJSON(_ context.Context, env BundleEnvironment) ([]byte, error) {
	shown := env.Snapshot
	if shown == nil {
		shown = env.Status
	}
	return plainJSON(shown)
}

// plainJSON writes a value without what is secret. What an intercept goes by is not: it is a header that is told to people.
func plainJSON(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	var decoded any
	if err := json.Unmarshal(text, &decoded); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return json.MarshalIndent(redact.JSON(decoded, matchFields...), "", "  ")
}

// matchFields are fields of an intercept that say which requests it is for.
var matchFields = []string{"key"}

func logText(_ context.Context, env BundleEnvironment) ([]byte, error) {
	file, err := os.Open(env.LogFile)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the log: %w", err)
	}
	if from := info.Size() - mostLog; from > 0 {
		if _, err := file.Seek(from, io.SeekStart); err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
	}
	text, err := io.ReadAll(io.LimitReader(file, mostLog))
	if err != nil {
		return nil, fmt.Errorf("read the log: %w", err)
	}
	if info.Size() > mostLog { // what is left of the first line may be the end of a secret
		_, text, _ = bytes.Cut(text, []byte("\n"))
	}
	return []byte(redact.Text(string(text))), nil
}

func helperJSON(ctx context.Context, env BundleEnvironment) ([]byte, error) {
	dialer := env.Helper
	if dialer == nil {
		dialer = session.SystemHelper()
	}
	helper, err := dialer.Dial(ctx)
	if err != nil {
		return nil, session.ExplainHelper(err)
	}
	defer helper.Close() //nolint:errcheck // nothing depends on it
	version, err := helper.Version(ctx)
	if err != nil {
		return nil, session.ExplainHelper(err)
	}
	status, err := helper.Status(ctx)
	if err != nil {
		return nil, session.ExplainHelper(err)
	}
	return plainJSON(map[string]any{"version": version, "status": status})
}

func machineText(context.Context, BundleEnvironment) ([]byte, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "system: %s/%s, %s, %d processors\n\n", runtime.GOOS, runtime.GOARCH, runtime.Version(), runtime.NumCPU())
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		addresses, _ := i.Addrs() // without, it is only a name
		fmt.Fprintf(&b, "%s: MTU %d, %s, %v\n", i.Name, i.MTU, i.Flags, addresses)
	}
	if text, err := os.ReadFile("/etc/resolv.conf"); err == nil {
		fmt.Fprintf(&b, "\n/etc/resolv.conf:\n%s", redact.Text(string(text)))
	}
	return []byte(b.String()), nil
}

func kubeconfigJSON(_ context.Context, env BundleEnvironment) ([]byte, error) {
	contexts, err := cluster.Contexts(env.Options.Cluster())
	if err != nil {
		return nil, err
	}
	type context struct {
		Name    string `json:"name"`
		Current bool   `json:"current,omitempty"`
		Host    string `json:"host,omitempty"`
	}
	all := []context{}
	for _, c := range contexts {
		options := env.Options.Cluster()
		options.Context = c.Name
		shown := context{Name: c.Name, Current: c.Current}
		if access, err := cluster.Open(options); err == nil {
			shown.Host = hostOf(access.Server())
			access.Close()
		}
		all = append(all, shown)
	}
	return json.MarshalIndent(all, "", "  ")
}

// hostOf is host and port of a server's URL.
func hostOf(server string) string {
	if _, rest, ok := strings.Cut(server, "://"); ok {
		server = rest
	}
	server, _, _ = strings.Cut(server, "/")
	return server[strings.LastIndexByte(server, '@')+1:]
}

func clusterYAML(ctx context.Context, env BundleEnvironment) ([]byte, error) {
	if env.Status.Connection == "" {
		return []byte("# not connected\n"), nil
	}
	access, err := cluster.Open(env.Options.Cluster())
	if err != nil {
		return nil, err
	}
	defer access.Close()
	namespace, name, _ := strings.Cut(env.Status.Connection, "/")
	var b bytes.Buffer
	add := func(object any) error {
		text, err := plainJSON(object)
		if err == nil {
			text, err = yaml.JSONToYAML(text)
		}
		b.WriteString("---\n")
		b.Write(text)
		return err
	}
	connection, err := access.Connection(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	connection.ManagedFields = nil
	if err := add(connection); err != nil {
		return b.Bytes(), err
	}
	for _, place := range interceptedNamespaces(env.Status) {
		found, err := access.Intercepts(ctx, place, "")
		if err != nil {
			return b.Bytes(), err
		}
		for i := range found {
			if found[i].Spec.User != env.Status.User {
				continue
			}
			found[i].ManagedFields = nil
			if err := add(found[i]); err != nil {
				return b.Bytes(), err
			}
		}
	}
	return b.Bytes(), nil
}

// interceptedNamespaces are those where this laptop intercepts something.
func interceptedNamespaces(s session.Status) []string {
	var all []string
	seen := map[string]bool{}
	for _, i := range s.Intercepts {
		if !seen[i.Namespace] {
			all, seen[i.Namespace] = append(all, i.Namespace), true
		}
	}
	return all
}

func gatewayText(ctx context.Context, env BundleEnvironment) ([]byte, error) {
	access, err := cluster.Open(env.Options.Cluster())
	if err != nil {
		return nil, err
	}
	defer access.Close()
	namespace := cmp.Or(env.Options.GatewayNamespace, session.DefaultGatewayNamespace)
	pods, err := access.GatewayPods(ctx, namespace)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	if len(pods) == 0 {
		fmt.Fprintf(&b, "There are no gateway pods in namespace %s.\n", namespace)
	}
	for _, pod := range pods {
		fmt.Fprintf(&b, "pod %s on %s: %s\n", pod.Name, pod.Spec.NodeName, redact.Text(cluster.PodState(pod)))
		for _, c := range pod.Status.ContainerStatuses {
			fmt.Fprintf(&b, "  container %s: %s, restarts %d\n", c.Name, c.Image, c.RestartCount)
		}
		text, err := access.PodLog(ctx, namespace, pod.Name, "", gatewayLines)
		if err != nil {
			fmt.Fprintf(&b, "  its log can't be read: %s\n", redact.Text(err.Error()))
			continue
		}
		fmt.Fprintf(&b, "%s\n", redact.Text(string(text)))
	}
	return []byte(b.String()), nil
}
