// SPDX-License-Identifier: Apache-2.0

package charts_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/charts"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

// render gives the chart's objects for some values, in the order of their files.
func render(t *testing.T, values map[string]any) (string, error) {
	t.Helper()
	chart, err := charts.Load("0.1.0")
	if err != nil {
		t.Fatal(err)
	}
	release := common.ReleaseOptions{Name: "fairlead", Namespace: "fairlead", IsInstall: true, Revision: 1}
	merged, err := util.ToRenderValues(chart, values, release, common.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	rendered, err := engine.Render(chart, merged)
	if err != nil {
		return "", err
	}
	var names []string
	for name := range rendered {
		if strings.HasSuffix(name, ".yaml") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		if body := strings.TrimSpace(rendered[name]); body != "" {
			text.WriteString("# Source: " + name + "\n" + strings.TrimPrefix(body, "---\n") + "\n---\n")
		}
	}
	return text.String(), nil
}

func TestRender(t *testing.T) {
	for _, name := range []string{"defaults", "everything", "hostport", "loadbalancer", "none"} {
		t.Run(name, func(t *testing.T) {
			got, err := render(t, readValues(t, filepath.Join("testdata", name+".values.yaml")))
			if err != nil {
				t.Fatal(err)
			}
			if name != "defaults" { // The CRDs are the same everywhere: they are in one golden file.
				got = withoutCRDs(got)
			}
			golden.Compare(t, filepath.Join("testdata", name+".golden.yaml"), got)
		})
	}
}

func TestRenderedObjectsAreYAMLWithLabels(t *testing.T) {
	text, err := render(t, readValues(t, filepath.Join("testdata", "everything.values.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct {
				Name   string
				Labels map[string]string
			}
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatalf("%v in:\n%s", err, document)
		}
		if object.Kind == "" && strings.TrimSpace(document) == "" {
			continue
		}
		if object.Metadata.Labels["app.kubernetes.io/name"] != "fairlead" {
			t.Errorf("%s %s does not have the chart's labels", object.Kind, object.Metadata.Name)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	for name, values := range map[string]string{
		"unknown value":       "replica: 2",
		"unknown nested":      "image: {repo: x}",
		"udp type":            "udp: {type: ClusterIP}",
		"privileged port":     "udp: {port: 53}",
		"range without size":  "cluster: {serviceRanges: [10.96.0.0]}",
		"tunnel range":        "tunnel: {ipv4Range: 198.19.0.0/30}",
		"public ipv6 range":   "tunnel: {ipv6Range: '2001:db8::/64'}",
		"advertise hostname":  "udp: {advertise: ['gateway.example.com:51820']}",
		"duration":            "connections: {forgetAfter: 1 hour}",
		"no replicas":         "replicas: 0",
		"subject of no kind":  "access: {subjects: [{name: x}]}",
		"digest of wrong sum": "image: {digest: 'sha256:12'}",
		"redirect":            "intercepts: {redirect: Magic}",
		"longest intercept":   "intercepts: {maxDuration: forever}",
		"longest absence":     "intercepts: {removeAfter: never}",
		"sidecar's policy":    "sidecar: {image: {pullPolicy: Sometimes}}",
	} {
		t.Run(name, func(t *testing.T) {
			var parsed map[string]any
			if err := yaml.Unmarshal([]byte(values), &parsed); err != nil {
				t.Fatal(err)
			}
			if _, err := render(t, parsed); err == nil {
				t.Errorf("the schema accepts %s", values)
			}
		})
	}
}

func TestEveryValueIsDocumented(t *testing.T) {
	data, err := os.ReadFile("fairlead/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("fairlead/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	for _, key := range leaves("", values) {
		if !strings.Contains(string(readme), "`"+key+"`") {
			t.Errorf("README.md does not explain `%s`", key)
		}
	}
}

// leaves names the values that are not maps with keys of their own.
func leaves(prefix string, values map[string]any) []string {
	var keys []string
	for key, value := range values {
		if nested, ok := value.(map[string]any); ok && len(nested) > 0 && key != "resources" {
			keys = append(keys, leaves(prefix+key+".", nested)...)
			continue
		}
		keys = append(keys, prefix+key)
	}
	slices.Sort(keys)
	return keys
}

func readValues(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	values, err := loader.LoadValues(strings.NewReader(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// withoutCRDs leaves out the documents that come from crds.yaml.
func withoutCRDs(text string) string {
	start := strings.Index(text, "# Source: fairlead/templates/crds.yaml")
	next := strings.Index(text[start+1:], "# Source: ")
	return text[:start] + text[start+1+next:]
}
