// SPDX-License-Identifier: Apache-2.0

package diagnostics

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/backend/session"
	"github.com/fairlead-dev/fairlead/helper/api"
)

// planted are secrets that must not be in a bundle, wherever they were planted.
var planted = []string{
	"hunter2-password", "tok_3n-of-the-kubeconfig", "c29tZSBwcml2YXRlIGtleQ", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "session-cookie-77",
	"query-string-88", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2lnbmF0dXJl", "proxy-password-99", "value-of-a-variable",
}

func TestABundleHasNoSecrets(t *testing.T) {
	podLog := "GET /orders?user=query-string-88 200\nAuthorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqbyJ9.c2lnbmF0dXJl\ncookie: sid=session-cookie-77\n"
	answers := map[string]string{
		reviewPath: whoami, accessPath: allowed, apiPath: ourAPI, podsPath: gatewayPod(true, "agent:0.1.0"), nsPath: namespace,
		"/pods/gateway-1/log": podLog,
		"/connections/jo-1":   `{"apiVersion":"fairlead.dev/v1alpha1","kind":"Connection","metadata":{"name":"jo-1","managedFields":[{"manager":"x"}]},"spec":{"user":"jo"}}`,
		"/shop/intercepts": `{"apiVersion":"fairlead.dev/v1alpha1","kind":"InterceptList","items":[
{"apiVersion":"fairlead.dev/v1alpha1","kind":"Intercept","metadata":{"name":"api-1","namespace":"shop"},"spec":{"user":"jo","match":{"key":"jo-7f3c"}}},
{"apiVersion":"fairlead.dev/v1alpha1","kind":"Intercept","metadata":{"name":"bobs","namespace":"shop"},"spec":{"user":"bob"}}]}`,
	}
	options := fakeCluster(t, answers)
	addSecrets(t, options.Kubeconfigs[0])
	options.Environment = []string{"HTTPS_PROXY=", "PASSWORD=value-of-a-variable"}
	log := filepath.Join(t.TempDir(), "daemon.log")
	text := strings.Repeat("level=INFO msg=serving socket=/run/user/1000/fairlead/daemon.sock\n", 20000) +
		"level=INFO msg=credential error=\"plugin said: password=hunter2-password token: tok_3n-of-the-kubeconfig\"\n" +
		"level=WARN msg=proxy url=http://jo:proxy-password-99@proxy:3128/\n" +
		"-----BEGIN EC PRIVATE KEY-----\nc29tZSBwcml2YXRlIGtleQ\n-----END EC PRIVATE KEY-----\nthe last line\n"
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	status := intercepting("Active", true)
	status.Context, status.Server, status.Connection, status.User = "test", serverOf(t, options), "fairlead/jo-1", "jo"
	status.Intercepts[0].Namespace, status.Intercepts[0].Key, status.Intercepts[0].Header = "shop", "jo-7f3c", "x-fairlead: jo-7f3c"
	snapshot := map[string]any{"session": status, "token": "tok_3n-of-the-kubeconfig", "note": "asked http://api/x?query-string-88"}
	env := BundleEnvironment{
		Environment: Environment{Version: "0.1.0", Options: options, Status: status, Helper: fakeHelper{version: "0.1.0", status: api.Status{State: "up"}}},
		Snapshot:    snapshot, LogFile: log, Now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	files := Bundle(t.Context(), env)
	bundle, err := Zip(files, BundleName(env.Now), env.Now)
	if err != nil {
		t.Fatal(err)
	}
	whole := unzip(t, bundle)
	for _, secret := range planted {
		if strings.Contains(whole, secret) {
			i := strings.Index(whole, secret)
			t.Errorf("%q is in the bundle: …%s…", secret, whole[max(0, i-80):min(len(whole), i+80)])
		}
	}
	for _, wanted := range []string{
		"fairlead-support-20260102-030405/README.txt", "Fairlead 0.1.0 on ", "Helper service", "the last line", "x-fairlead: jo-7f3c", "key: jo-7f3c",
		"pod gateway-1", "GET /orders?… 200", `"name": "test"`, "kind: Connection", `"state": "up"`, "socket=/run/user/1000/fairlead/daemon.sock",
	} {
		if !strings.Contains(whole, wanted) {
			t.Errorf("%q is not in the bundle", wanted)
		}
	}
	if strings.Contains(whole, "bobs") || strings.Contains(whole, "managedFields") {
		t.Error("what is of others, or of no use, is in the bundle")
	}
	if size := len(fileNamed(t, files, "daemon.log").Text); size > mostLog {
		t.Errorf("%d bytes of log", size)
	}
}

func TestABundleIsMadeWhateverIsMissing(t *testing.T) {
	env := BundleEnvironment{
		Environment: Environment{Version: "0.1.0", Options: session.Options{Kubeconfigs: []string{"/does/not/exist"}}, Helper: fakeHelper{dialErr: os.ErrNotExist}},
		LogFile:     "/does/not/exist.log", Now: time.Now(),
	}
	files := Bundle(t.Context(), env)
	if len(files) != 9 {
		t.Errorf("%d files", len(files))
	}
	for _, f := range files {
		if f.What == "" || len(f.Text) == 0 {
			t.Errorf("%s has nothing to say", f.Name)
		}
	}
	if text := string(fileNamed(t, files, "daemon.log").Text); !strings.Contains(text, "could not be found out") {
		t.Errorf("the log says %q", text)
	}
}

func fileNamed(t *testing.T, files []File, name string) File {
	t.Helper()
	for _, f := range files {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("there is no %s", name)
	return File{}
}

// addSecrets gives the user of a kubeconfig all that one may have.
func addSecrets(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), `"context":{"cluster":"c"}`, `"context":{"cluster":"c","user":"u"}`, 1)
	changed = strings.Replace(changed, `"contexts":`, `"users":[{"name":"u","user":{"token":"tok_3n-of-the-kubeconfig"}},
{"name":"v","user":{"username":"jo","password":"hunter2-password","client-key-data":"c29tZSBwcml2YXRlIGtleQ==","client-certificate-data":"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t"}}],
"contexts":`, 1)
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unzip is all that is in a bundle, with the names.
func unzip(t *testing.T, data []byte) string {
	t.Helper()
	reader, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, f := range reader.File {
		part, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "== %s\n%s\n", f.Name, text)
	}
	return all.String()
}
