// SPDX-License-Identifier: Apache-2.0

//go:build unix

package authorization

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fairlead-dev/fairlead/helper/localsocket"
)

// accounts is a machine's database: alice is 1001; "1002" is a name, and its holder is 1005.
type accounts struct{}

func (accounts) UserID(name string) (string, error) {
	if id, ok := map[string]string{"alice": "1001", "1002": "1005", "nobody-knows": ""}[name]; ok {
		return id, nil
	}
	return "", errors.New("no such user")
}

func (accounts) GroupID(name string) (string, error) {
	if name == "developers" {
		return "990", nil
	}
	return "", errors.New("no such group")
}

// GroupsOf has two users who joined a group after they had logged in.
func (accounts) GroupsOf(userID string) ([]string, error) {
	if groups, ok := map[string][]string{"1003": {"100"}, "1007": {"100", "990"}, "1008": {"100", ""}}[userID]; ok {
		return groups, nil
	}
	return nil, errors.New("no such user")
}

func TestWhoIsAllowed(t *testing.T) {
	policy := Policy{Users: []string{"alice", "1002", "ghost", "nobody-knows", ""}, Groups: []string{"developers", "880", "ghosts", ""}}
	for name, c := range map[string]struct {
		caller localsocket.Identity
		want   bool
	}{
		"root":               {localsocket.Identity{User: "0", Administrator: true}, true},
		"by name":            {localsocket.Identity{User: "1001"}, true},
		"by number":          {localsocket.Identity{User: "1002"}, true},
		"number as a name":   {localsocket.Identity{User: "1005"}, false},
		"by group":           {localsocket.Identity{User: "1003", Groups: []string{"100", "990"}}, true},
		"joined later":       {localsocket.Identity{User: "1007", Groups: []string{"100"}}, true},
		"in a nameless one":  {localsocket.Identity{User: "1008"}, false},
		"by group number":    {localsocket.Identity{User: "1003", Groups: []string{"880"}}, true},
		"group id as a user": {localsocket.Identity{User: "990"}, false},
		"user id as a group": {localsocket.Identity{User: "1003", Groups: []string{"1001"}}, false},
		"claims the name":    {localsocket.Identity{User: "1009", Name: "alice"}, false},
		"nobody":             {localsocket.Identity{}, false},
		"empty group":        {localsocket.Identity{User: "1003", Groups: []string{""}}, false},
	} {
		if got := policy.Allows(c.caller, accounts{}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	if (Policy{}).Allows(localsocket.Identity{User: "1001"}, accounts{}) {
		t.Error("an empty policy lets somebody in")
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "helper.json")
	if policy, err := Load(path); err != nil || len(policy.Users) != 0 {
		t.Errorf("without a file: %+v, %v", policy, err)
	}
	want := Policy{Users: []string{"1000"}, Groups: []string{"developers"}}
	for name, c := range map[string]struct {
		content string
		mode    os.FileMode
		err     string
	}{
		"good":                {string(want.Marshal()), 0o644, ""},
		"writable for all":    {string(want.Marshal()), 0o666, "can write it"},
		"writable for group":  {string(want.Marshal()), 0o664, "can write it"},
		"unknown field":       {`{"users":["1000"],"everybody":true}`, 0o644, "everybody"},
		"not JSON":            {`users: [1000]`, 0o644, "parse"},
		"more than one value": {`{} {"users":["0"]}`, 0o644, "more after"},
		"too large":           {`{"users":["` + strings.Repeat("x", maxPolicy) + `"]}`, 0o644, "larger"},
	} {
		if err := errors.Join(os.WriteFile(path, []byte(c.content), 0o600), os.Chmod(path, c.mode)); err != nil {
			t.Fatal(err)
		}
		policy, err := Load(path)
		switch {
		case c.err == "":
			if err != nil || len(policy.Users) != 1 || policy.Groups[0] != "developers" {
				t.Errorf("%s: %+v, %v", name, policy, err)
			}
		case err == nil || !strings.Contains(err.Error(), c.err):
			t.Errorf("%s: %v", name, err)
		case len(policy.Users)+len(policy.Groups) > 0:
			t.Errorf("%s: allows %+v in spite of %v", name, policy, err)
		}
	}
}

func TestValidateNamesTheUnknown(t *testing.T) {
	for _, policy := range []Policy{{Users: []string{"ghost"}}, {Groups: []string{"ghost"}}} {
		if err := policy.Validate(accounts{}); err == nil || !strings.Contains(err.Error(), "ghost") {
			t.Errorf("got %v", err)
		}
	}
	if err := (Policy{Users: []string{"alice", "4242"}, Groups: []string{"developers"}}).Validate(accounts{}); err != nil {
		t.Error(err)
	}
}

// FuzzParse holds that no content of the file lets a stranger in by accident.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"users":["alice"],"groups":["990"]}`))
	f.Add([]byte(`{"users":null}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		policy, err := Parse(content)
		if err != nil && len(policy.Users)+len(policy.Groups) > 0 {
			t.Errorf("%q: %+v in spite of %v", content, policy, err)
		}
		if policy.Allows(localsocket.Identity{}, accounts{}) {
			t.Errorf("%q lets nobody in", content)
		}
	})
}
