// SPDX-License-Identifier: Apache-2.0

package redact

import (
	"strings"
	"testing"
)

func TestCommand(t *testing.T) {
	for _, test := range []struct{ words, want string }{
		{"node server.js --port 3000", "node server.js --port 3000"},
		{"api --password hunter2 --verbose", "api --password … --verbose"},
		{"api --db-password=hunter2", "api --db-password=…"},
		{"api -token abc x", "api -token … x"},
		{"api --api-key abc", "api --api-key …"},
		{"api --key-file /etc/key.pem", "api --key-file /etc/key.pem"},
		{"api --token-file=/run/token", "api --token-file=/run/token"},
		{"api --monkey banana", "api --monkey banana"},
		{"api --author me", "api --author me"},
		{"env DB_PASSWORD=x SECRET_KEY=y PORT=3000 api", "env DB_PASSWORD=… SECRET_KEY=… PORT=3000 api"},
		{"api postgres://ann:pw@db/shop", "api postgres://…@db/shop"},
		{"api --url http://x/y?token=1", "api --url http://x/y?…"},
		{"api ghp_0123456789abcdef", "api …"},
		{"api a8F3kd92MzQ0pL5xTg7Yb1Nc6VwR4eHs", "api …"},
		{"java -jar /home/ann/projects/shop/build/libs/shop-service-0.0.1-SNAPSHOT.jar", "java -jar /home/ann/projects/shop/build/libs/shop-service-0.0.1-SNAPSHOT.jar"},
		{"", "''"},
	} {
		if got := Command(strings.Split(test.words, " "), 160); got != test.want {
			t.Errorf("%s: got %s, want %s", test.words, got, test.want)
		}
	}
	if got := Command([]string{"a", "b\x1b[2Jc", "d e"}, 160); got != "a b[2Jc 'd e'" {
		t.Errorf("got %q", got)
	}
	if got := Command([]string{strings.Repeat("ä", 50)}, 10); got != strings.Repeat("ä", 9)+"…" {
		t.Errorf("got %q", got)
	}
}

func TestText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"GET /orders?user=ann&token=1 HTTP/1.1", "GET /orders?… HTTP/1.1"},
		{"Authorization: Bearer abc.def", "Authorization: …"},
		{"cookie: session=1; other=2\nx: y", "cookie: …\nx: y"},
		{`{"password":"a\"b","user":"ann"}`, `{"password":"…","user":"ann"}`},
		{"client-key-data: LS0tLS1CRUdJTg==", "client-key-data: …"},
		{"certificate-authority-data: LS0t", "certificate-authority-data: …"},
		{"-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx", "-----…-----\nx"},
		{"used eyJhbGciOiJSUzI1.eyJzdWIiOiJhbm4.c2ln here", "used … here"},
		{"x-fairlead: ann-7f3c", "x-fairlead: ann-7f3c"},
		{"pod 0b1c6b2e-7f6f-4f52-8f0e-0a4b1c2d3e4f", "pod 0b1c6b2e-7f6f-4f52-8f0e-0a4b1c2d3e4f"},
		{"level=INFO msg=serving socket=/run/user/1000/fairlead/daemon.sock", "level=INFO msg=serving socket=/run/user/1000/fairlead/daemon.sock"},
		{"key=abc", "key=…"},
		{"token-file: /run/x", "token-file: /run/x"},
		{"the cluster says: secret \"db\" not found", "the cluster says: secret \"db\" not found"},
	} {
		if got := Text(test.text); got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

func FuzzText(f *testing.F) {
	for _, seed := range []string{"password=x", "-----BEGIN X-----", "a?b", "Bearer abcdefgh", `"token": "x`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := Text("password=hunter2hunter2 " + text)
		if strings.Contains(once, "password=hunter2hunter2") {
			t.Errorf("%q keeps its password: %q", text, once)
		}
		Command(strings.Fields(text), 40)
	})
}
