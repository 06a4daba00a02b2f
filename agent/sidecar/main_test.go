// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"maps"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	const pin = "--pin=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	const gateway = "--gateway=10.96.1.2:8443"
	added := map[string]string{"FAIRLEAD_CONTAINER": "fairlead-1", "FAIRLEAD_POD_UID": "uid", "FAIRLEAD_CREDENTIAL": "secret"}
	without := func(name string) map[string]string {
		environment := maps.Clone(added)
		delete(environment, name)
		return environment
	}
	for _, test := range []struct {
		name        string
		args        []string
		environment map[string]string
		err         string
	}{
		{"added to a running pod", []string{gateway, "--gateway=[fd00::1]:8443", pin}, added, ""},
		{"born with its pod", []string{gateway, pin, "--token-file=/token"}, map[string]string{"FAIRLEAD_CONTAINER": "fairlead"}, ""},
		{"no gateway", []string{pin}, added, "--gateway and --pin are needed"},
		{"no pin", []string{gateway}, added, "--gateway and --pin are needed"},
		{"a name for an address", []string{"--gateway=gateway:8443", pin}, added, "invalid value"},
		{"a short pin", []string{gateway, "--pin=abc"}, added, "is not the base64url of 32 bytes"},
		{"no proof", []string{gateway, pin}, without("FAIRLEAD_CREDENTIAL"), "exactly one of --token-file and FAIRLEAD_CREDENTIAL"},
		{"two proofs", []string{gateway, pin, "--token-file=/token"}, added, "exactly one of --token-file and FAIRLEAD_CREDENTIAL"},
		{"no pod", []string{gateway, pin}, without("FAIRLEAD_POD_UID"), "FAIRLEAD_POD_UID is not set"},
		{"no container", []string{gateway, pin}, without("FAIRLEAD_CONTAINER"), "FAIRLEAD_CONTAINER is not set"},
		{"too much", []string{gateway, pin, "serve"}, added, `unknown argument "serve"`},
	} {
		c, err := parse(test.args, func(name string) string { return test.environment[name] }, io.Discard)
		switch {
		case test.err == "" && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		case test.err == "" && c.gateway.Addresses[0].String() != "10.96.1.2:8443":
			t.Errorf("%s: %+v", test.name, c)
		}
	}
}
