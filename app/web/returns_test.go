// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

// openPage is the key of an open page, as the script of the page has it.
type openPage struct{ private *ecdsa.PrivateKey }

func newOpenPage(t *testing.T) openPage {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return openPage{private}
}

func (p openPage) key(t *testing.T) []byte {
	t.Helper()
	key, err := p.private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a signature as browsers do.
func (p openPage) sign(t *testing.T, text string) []byte {
	t.Helper()
	hash := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.private, hash[:])
	if err != nil {
		t.Fatal(err)
	}
	signature := make([]byte, 2*coordinateSize)
	r.FillBytes(signature[:coordinateSize])
	s.FillBytes(signature[coordinateSize:])
	return signature
}

// say posts what a page says, and reads the answer into out if that is good.
func say(t *testing.T, client *http.Client, address string, in, out any) int {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r := request(t, http.MethodPost, address, string(body))
	r.Header.Set("Origin", "http://"+u.Host)
	r.Header.Set("Content-Type", "application/json")
	got := do(t, client, r)
	if out != nil && got.status == http.StatusOK {
		if err := json.Unmarshal([]byte(got.body), out); err != nil {
			t.Fatal(err)
		}
	}
	return got.status
}

// stateful is a server that keeps which pages may come back.
func stateful(t *testing.T, file string) (*Server, *fake) {
	t.Helper()
	backend := &fake{asked: make(chan localapi.Target, 1)}
	s := New(Config{Backend: backend, Page: testPage, Log: slog.New(slog.DiscardHandler), Context: t.Context(), State: file})
	t.Cleanup(func() { s.Shutdown(context.Background()) })
	return s, backend
}

func TestAnOpenPageComesBackToALaterDaemon(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pages.json")
	first, _ := stateful(t, file)
	client, own := browser(t), newOpenPage(t)
	page := enter(t, first, client, localapi.PageRequest{Environment: []string{"TOKEN=secret", "KUBECONFIG=/mine"}, WorkingDirectory: "/work"})
	origin := page[:strings.Index(page, "/visit/")]
	if status := say(t, client, page+"return", coming{Key: own.key(t)}, nil); status != http.StatusNoContent {
		t.Fatalf("name the key: %d", status)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the file: %v, %v", info, err)
	}
	if data, _ := os.ReadFile(file); strings.Contains(string(data), "secret") {
		t.Errorf("the file keeps secrets of the shell: %s", data)
	}
	first.Shutdown(t.Context())

	second, backend := stateful(t, file)
	if err := second.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := do(t, client, request(t, http.MethodGet, page+"v1/version", "")); got.status != http.StatusUnauthorized {
		t.Errorf("the cookie of the first daemon: %d", got.status)
	}
	var asked struct{ Challenge string }
	var back struct{ Page string }
	if status := say(t, client, origin+"/return/challenge", struct{}{}, &asked); status != http.StatusOK {
		t.Fatalf("challenge: %d", status)
	}
	answer := coming{Key: own.key(t), Challenge: asked.Challenge, Signature: own.sign(t, returnPrefix+asked.Challenge)}
	if status := say(t, client, origin+"/return", answer, &back); status != http.StatusOK {
		t.Fatalf("come back: %d", status)
	}
	if back.Page == strings.TrimPrefix(page, origin) {
		t.Error("the path is that of the first daemon")
	}
	if status := say(t, client, origin+"/return", answer, nil); status != http.StatusForbidden {
		t.Errorf("the same answer again: %d", status)
	}
	if status := say(t, client, origin+back.Page+"v1/contexts", struct{}{}, nil); status != http.StatusOK {
		t.Fatalf("a call: %d", status)
	}
	if got := <-backend.asked; got.WorkingDirectory != "/work" || !slices.Contains(got.Environment, "KUBECONFIG=/mine") {
		t.Errorf("the shell: %+v", got)
	}
}

func TestWhoDoesNotComeBack(t *testing.T) {
	own, other := newOpenPage(t), newOpenPage(t)
	now := time.Now()
	r := &returns{now: func() time.Time { return now }}
	if err := r.remember([]byte("no key"), localapi.PageRequest{}); err == nil {
		t.Error("a key that is none was taken")
	}
	if err := r.remember(own.key(t), localapi.PageRequest{}); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]func(text string) bool{
		"another key": func(text string) bool {
			_, ok := r.answer(other.key(t), text, other.sign(t, returnPrefix+text))
			return ok
		},
		"another signer": func(text string) bool {
			_, ok := r.answer(own.key(t), text, other.sign(t, returnPrefix+text))
			return ok
		},
		"another text":   func(text string) bool { _, ok := r.answer(own.key(t), text, own.sign(t, text)); return ok },
		"no signature":   func(text string) bool { _, ok := r.answer(own.key(t), text, nil); return ok },
		"own challenge":  func(string) bool { _, ok := r.answer(own.key(t), "mine", own.sign(t, returnPrefix+"mine")); return ok },
		"a late answer":  func(text string) bool { now = now.Add(challengeLife + 1); return comes(t, r, own, text) },
		"an expired key": func(string) bool { now = now.Add(returnLife + 1); return comes(t, r, own, r.challenge()) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func(before time.Time) { now = before }(now)
			if answer(r.challenge()) {
				t.Error("it came in")
			}
		})
	}
	if !comes(t, r, own, r.challenge()) {
		t.Error("the page itself did not come in")
	}
	r.serve("127.0.0.1:1")
	if comes(t, r, own, r.challenge()) {
		t.Error("a page of another address came in")
	}
}

func comes(t *testing.T, r *returns, p openPage, text string) bool {
	t.Helper()
	_, ok := r.answer(p.key(t), text, p.sign(t, returnPrefix+text))
	return ok
}

func TestADaemonWithoutItsPortServesAnother(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pages.json")
	first, _ := stateful(t, file)
	client := browser(t)
	page := enter(t, first, client, localapi.PageRequest{})
	if status := say(t, client, page+"return", coming{Key: newOpenPage(t).key(t)}, nil); status != http.StatusNoContent {
		t.Fatalf("name the key: %d", status)
	}
	second, _ := stateful(t, file)
	if err := second.Resume(); err == nil {
		t.Fatal("two listen at one address")
	}
	enter(t, second, browser(t), localapi.PageRequest{})
	if len(second.returns.keys) != 0 {
		t.Error("it knows pages that can't come there")
	}
}

func TestAFileThatIsBrokenKeepsNobodyOut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pages.json")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := stateful(t, file)
	if err := s.Resume(); err == nil {
		t.Error("it was read")
	}
	enter(t, s, browser(t), localapi.PageRequest{})
}
