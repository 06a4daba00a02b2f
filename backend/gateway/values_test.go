// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"reflect"
	"testing"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

func TestSplitImage(t *testing.T) {
	for image, want := range map[string][3]string{
		"agent":                           {"agent", "", ""},
		"ghcr.io/x/agent:0.1.0":           {"ghcr.io/x/agent", "0.1.0", ""},
		"localhost:5000/agent":            {"localhost:5000/agent", "", ""},
		"localhost:5000/agent:dev":        {"localhost:5000/agent", "dev", ""},
		"ghcr.io/x/agent@sha256:00":       {"ghcr.io/x/agent", "", "sha256:00"},
		"ghcr.io/x/agent:0.1.0@sha256:00": {"ghcr.io/x/agent", "0.1.0", "sha256:00"},
	} {
		repository, tag, digest, err := splitImage(image)
		if got := [3]string{repository, tag, digest}; err != nil || got != want {
			t.Errorf("%s: %v, error %v, want %v", image, got, err, want)
		}
	}
	for _, image := range []string{":0.1.0", "agent:", "agent@", "two words"} {
		if _, _, _, err := splitImage(image); !errors.Is(err, problem.New(problem.Usage, "", "")) {
			t.Errorf("%q: error %v", image, err)
		}
	}
}

func TestOptionsBecomeValues(t *testing.T) {
	given := map[string]any{"image": map[string]any{"pullPolicy": "Always", "tag": "old"}, "replicas": 2.0}
	o := Options{Values: given, Image: "registry.test/agent:new", UDPType: "LoadBalancer"}
	got, err := o.values()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"image":    map[string]any{"pullPolicy": "Always", "repository": "registry.test/agent", "tag": "new", "digest": ""},
		"udp":      map[string]any{"type": "LoadBalancer"},
		"replicas": 2.0,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if given["image"].(map[string]any)["tag"] != "old" || len(given) != 2 {
		t.Errorf("the caller's values were changed: %v", given)
	}
}

func TestSchemaComplaint(t *testing.T) {
	text := "values don't meet the specifications of the schema(s) in the following chart(s):\nfairlead:\n- at '/udp/type': value must be one of 'NodePort', 'None'\n- at '': additional properties 'x' not allowed\n"
	if got, want := schemaComplaint(text), "at '/udp/type': value must be one of 'NodePort', 'None'; at '': additional properties 'x' not allowed"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := schemaComplaint("something else"); got != "something else" {
		t.Errorf("got %q", got)
	}
}
