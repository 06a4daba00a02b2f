// SPDX-License-Identifier: Apache-2.0

package environment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/fairlead-dev/fairlead/backend/cluster"
	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/tests/golden"
)

// fakeReader is a cluster from a file.
type fakeReader struct {
	ConfigMaps map[string]map[string]string `json:"configMaps"`
	Secrets    map[string]map[string]string `json:"secrets"`
	Forbidden  []string                     `json:"forbidden"`
	Linked     []core.Service               `json:"services"`
	Pod        *core.Pod                    `json:"pod"`
	Template   core.PodTemplateSpec         `json:"template"`
	Container  string                       `json:"container"`
	// Outputs are what commands in the pod write, by their words; ^@ stands for a zero byte. Others are not found.
	Outputs   map[string]string `json:"outputs"`
	MayNotRun bool              `json:"mayNotRun"`
}

func (f *fakeReader) Run(_ context.Context, _, pod, _ string, command ...string) ([]byte, error) {
	if f.MayNotRun {
		return nil, problem.New(problem.Forbidden, "", "the cluster does not let jo create pods/exec")
	}
	output, ok := f.Outputs[strings.Join(command, " ")]
	if !ok {
		return nil, fmt.Errorf("run %s in pod %s: executable file not found in $PATH", command[0], pod)
	}
	return []byte(strings.ReplaceAll(output, "^@", "\x00")), nil
}

func (f *fakeReader) refused(what string) error {
	for _, refused := range f.Forbidden {
		if refused == what {
			return problem.New(problem.Forbidden, "", "the cluster does not let jo get %s", what)
		}
	}
	return nil
}

func absent(what string) error { return problem.New(problem.NotFound, "", "read %s: not found", what) }

func (f *fakeReader) ConfigMap(_ context.Context, _, name string) (*core.ConfigMap, error) {
	if data, ok := f.ConfigMaps[name]; ok {
		return &core.ConfigMap{Data: data}, nil
	}
	return nil, absent("configmap " + name)
}

func (f *fakeReader) Secret(_ context.Context, _, name string) (*core.Secret, error) {
	if err := f.refused("secret " + name); err != nil {
		return nil, err
	}
	data, ok := f.Secrets[name]
	if !ok {
		return nil, absent("secret " + name)
	}
	secret := &core.Secret{Data: map[string][]byte{}}
	for key, value := range data {
		secret.Data[key] = []byte(value)
	}
	return secret, nil
}

func (f *fakeReader) Service(context.Context, string, string) (*core.Service, error) {
	return &core.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Namespace: "default"},
		Spec:       core.ServiceSpec{ClusterIP: "10.96.0.1", Ports: []core.ServicePort{{Name: "https", Port: 443}}},
	}, nil
}

func (f *fakeReader) Services(context.Context, string) ([]core.Service, error) {
	return f.Linked, f.refused("services")
}

func (f *fakeReader) PodsOf(context.Context, *cluster.FoundWorkload) ([]core.Pod, error) {
	if f.Pod == nil {
		return nil, nil
	}
	return []core.Pod{*f.Pod}, nil
}

// TestResolve compares what is found out of testdata/NAME.yaml with testdata/NAME.golden.
func TestResolve(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 3 {
		t.Fatalf("found %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			reader := &fakeReader{}
			if err := yaml.UnmarshalStrict(data, reader); err != nil {
				t.Fatal(err)
			}
			if reader.Pod != nil {
				reader.Pod.Spec = reader.Template.Spec
			}
			env, err := Resolve(t.Context(), reader, &cluster.FoundWorkload{Namespace: "shop", Kind: "Deployment", Name: "api", Template: reader.Template}, reader.Container)
			var got strings.Builder
			if err != nil {
				fmt.Fprintf(&got, "error: %v\n", err)
			}
			for _, v := range env.Variables {
				fmt.Fprintf(&got, "%s=%q  from %s", v.Name, v.Value, v.Source)
				if v.Secret {
					got.WriteString(", secret")
				}
				got.WriteString("\n")
			}
			for _, m := range env.Missing {
				fmt.Fprintf(&got, "missing %s from %s: %s\n", m.Name, m.Source, m.Why)
			}
			for _, note := range env.Notes {
				fmt.Fprintf(&got, "note: %s\n", note)
			}
			golden.Compare(t, strings.TrimSuffix(file, ".yaml")+".golden", got.String())
		})
	}
}

// TestExpand has the cases of Kubernetes' own expansion (third_party/forked/golang/expansion).
func TestExpand(t *testing.T) {
	r := &resolver{
		values:   map[string]Variable{"VAR_A": {Value: "A"}, "VAR_B": {Value: "B"}, "VAR_EMPTY": {}, "KEY": {Value: "s3cret", Secret: true}},
		services: map[string]Variable{"VAR_A": {Value: "service"}, "API_SERVICE_HOST": {Value: "10.96.0.7"}},
	}
	for in, want := range map[string]string{
		"":                                  "",
		"$(VAR_A)":                          "A",
		"___$(VAR_B)___":                    "___B___",
		"$(VAR_A)$(VAR_B)$(VAR_A)":          "ABA",
		"$(VAR_EMPTY)x":                     "x",
		"$(NOPE)":                           "$(NOPE)",
		"$$(VAR_A)":                         "$(VAR_A)",
		"$$$(VAR_A)":                        "$A",
		"$$$$(VAR_A)":                       "$$(VAR_A)",
		"$VAR_A":                            "$VAR_A",
		"$":                                 "$",
		"$$":                                "$",
		"a$":                                "a$",
		"$(VAR_A":                           "$(VAR_A",
		"$$(VAR_A":                          "$(VAR_A",
		"$(VAR_A))":                         "A)",
		"$()":                               "$()",
		"f000-$(VAR_A)-$(API_SERVICE_HOST)": "f000-A-10.96.0.7",
		"$ü(VAR_A)":                         "$ü(VAR_A)",
	} {
		if got, secret := r.expand(in); got != want || secret {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got, secret := r.expand("user:$(KEY)@db"); got != "user:s3cret@db" || !secret {
		t.Errorf("got %q, secret %v", got, secret)
	}
}

func FuzzExpand(f *testing.F) {
	for _, seed := range []string{"$(A)", "$$(A)", "$", "$(", "a$b", "$$$", "$(A)$(B"} {
		f.Add(seed)
	}
	r := &resolver{values: map[string]Variable{"A": {Value: "1"}}}
	f.Fuzz(func(t *testing.T, text string) {
		if got, _ := r.expand(text); !strings.Contains(text, "$") && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}

var awkward = []Variable{
	{Name: "PLAIN", Value: "a"}, {Name: "QUOTES", Value: `it's "x" $HOME ` + "`id` \\"}, {Name: "LINES", Value: "a\nb"}, {Name: "EMPTY"},
	{Name: "dotted.name", Value: "x"}, {Name: "YES", Value: "yes"}, {Name: "NUMBER", Value: "007"}, {Name: "ZERO", Value: "a\x00b"}, {Name: "UNICODE", Value: "ü&<"},
}

func TestRender(t *testing.T) {
	for _, format := range Formats {
		text, left, err := Render(format, awkward)
		if err != nil {
			t.Fatal(err)
		}
		got := string(text)
		for _, m := range left {
			got += fmt.Sprintf("left out %s: %s\n", m.Name, m.Why)
		}
		golden.Compare(t, "testdata/render."+string(format), got)
	}
	text, _, _ := Render(JSON, awkward)
	var read map[string]string
	if err := json.Unmarshal(text, &read); err != nil || read["QUOTES"] != awkward[1].Value || read["LINES"] != "a\nb" {
		t.Errorf("read back %q, %v", read, err)
	}
	if text, _, err := Render(Docker, nil); err != nil || len(text) != 0 {
		t.Errorf("of nothing: %q, %v", text, err)
	}
}

func TestParseFormat(t *testing.T) {
	if f, err := ParseFormat(""); f != Docker || err != nil {
		t.Errorf("got %s, %v", f, err)
	}
	if f, err := ParseFormat("SH"); f != Shell || err != nil {
		t.Errorf("got %s, %v", f, err)
	}
	if _, err := ParseFormat("toml"); !errors.Is(err, problem.New(problem.Usage, "", "")) {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.env")
	if err := os.WriteFile(file, []byte("old, and longer than the new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, []byte("A=1\n")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	info, statErr := os.Stat(file)
	if err != nil || statErr != nil || string(data) != "A=1\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("got %q, %v, %v", data, info.Mode(), err)
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "no", "folder"), nil); !errors.Is(err, problem.New(problem.Usage, "", "")) {
		t.Errorf("got %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); len(left) > 0 {
		t.Errorf("drafts are left: %v", left)
	}
}
