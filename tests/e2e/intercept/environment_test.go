// SPDX-License-Identifier: Apache-2.0

package intercept

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/environment"
)

// TestTheImagesEnvironment wants what only the running process has: the variables of the image; with the sources of what the
// spec has, and secrets known as such.
func TestTheImagesEnvironment(t *testing.T) {
	alice := connected(t, 0)
	var found localapi.Environment
	if err := json.Unmarshal([]byte(alice.Run(t, "fairlead", "env", "lab", "-n", "lab", "--output", "json")), &found); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(found.Notes, "\n"), "the process that runs in pod lab-") {
		t.Errorf("notes %q", found.Notes)
	}
	variable := func(name string) environment.Variable {
		i := slices.IndexFunc(found.Variables, func(v environment.Variable) bool { return v.Name == name })
		if i < 0 {
			t.Errorf("there is no %s in %+v", name, found.Variables)
			return environment.Variable{}
		}
		return found.Variables[i]
	}
	for name, want := range map[string]environment.Variable{
		"LAB_IMAGE": {Name: "LAB_IMAGE", Value: "of the image", Source: "process"},
		"COLOUR":    {Name: "COLOUR", Value: "navy blue", Source: "configmap lab/colour"},
		"PASSWORD":  {Name: "PASSWORD", Source: "secret lab/password", Secret: true}, // and its value is left out
	} {
		if got := variable(name); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if got := variable("GREETING").Value; !strings.HasPrefix(got, "hello 10.") {
		t.Errorf("GREETING is %q: the spec goes before the image", got)
	}
	if slices.ContainsFunc(found.Variables, func(v environment.Variable) bool { return v.Name == "PATH" }) {
		t.Error("PATH is that of the container")
	}
	// Where the image has no program that shows it, the spec is what there is, and that is said.
	if note := alice.Try(t, "fairlead", "env", "catalog", "-n", "shop").Stderr; !strings.Contains(note, "What the image itself sets is missing: the image has no program") {
		t.Errorf("of an image with nothing but its program it says %q", note)
	}
}
