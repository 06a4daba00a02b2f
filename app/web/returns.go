// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
)

const (
	// returnLife is how long after it was last named a key opens the page of a later daemon. Pages name theirs every hour.
	returnLife = 24 * time.Hour
	// challengeLife bounds the way of a challenge to a page on this machine and back.
	challengeLife = 10 * time.Second
	// maxReturns and maxChallenges bound what is remembered; the oldest goes first.
	maxReturns    = 32
	maxChallenges = 16
	// returnPrefix goes before the challenge in what a page signs, so that its signature is good for nothing else.
	returnPrefix = "fairlead return "
	// coordinateSize is that of a number of the curve P-256, in bytes (SEC 1, section 2.3).
	coordinateSize = 32
)

// returns lets pages that are open come back to a later daemon. A page makes a key pair and keeps the private half where no
// script can read it; the public half is kept here, and in a file for the daemon after this one. To come back, a page
// signs a challenge. Whoever holds the port while no daemon runs learns nothing that opens anything: cookies are void by
// then, and a signature is good for one challenge. It is safe for concurrent use.
type returns struct {
	file string // "" keeps nothing for a later daemon
	now  func() time.Time

	mu         sync.Mutex
	host       string // address and port that pages know
	keys       []returnKey
	challenges []challenge // oldest first
}

// returnKey is a page that may come back. Of its shell, what says where the clusters are is kept; the rest may hold secrets.
type returnKey struct {
	Key              []byte    `json:"key"` // a point of P-256, uncompressed (SEC 1, section 2.3.3)
	Expires          time.Time `json:"expires"`
	Kubeconfig       string    `json:"kubeconfig,omitempty"`
	WorkingDirectory string    `json:"workingDirectory,omitempty"`
}

type challenge struct {
	text    string
	expires time.Time
}

// kept is the file's content.
type kept struct {
	Address string      `json:"address"`
	Pages   []returnKey `json:"pages"`
}

// load reads what an earlier daemon has kept, and returns the address that pages know, or "" if none may come back.
func (r *returns) load() (string, error) {
	if r.file == "" {
		return "", nil
	}
	data, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var k kept
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		return "", fmt.Errorf("read which pages may come back: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.host = k.Address
	r.keys = slices.DeleteFunc(k.Pages, func(p returnKey) bool { return r.now().After(p.Expires) })
	if len(r.keys) == 0 {
		return "", nil
	}
	return r.host, nil
}

// serve says where pages are served from now on. Keys of another address are void: their pages can't come here.
func (r *returns) serve(host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if host != r.host {
		r.host, r.keys = host, nil
	}
}

// remember lets the page with a key come back, as a visitor with this shell.
func (r *returns) remember(key []byte, shell localapi.PageRequest) error {
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key); err != nil {
		return fmt.Errorf("read the page's key: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := returnKey{Key: key, Expires: r.now().Add(returnLife), WorkingDirectory: shell.WorkingDirectory}
	for _, v := range shell.Environment {
		if value, ok := strings.CutPrefix(v, kubeconfigVariable); ok {
			k.Kubeconfig = value
		}
	}
	r.keys = append(slices.DeleteFunc(r.keys, func(known returnKey) bool { return slices.Equal(known.Key, key) }), k)
	r.keys = r.keys[max(0, len(r.keys)-maxReturns):]
	return r.save()
}

// save writes the file anew. The lock is held.
func (r *returns) save() error {
	if r.file == "" {
		return nil
	}
	data, err := json.Marshal(kept{r.host, r.keys})
	if err != nil {
		return err
	}
	// In place of the old one at once: a daemon that is killed meanwhile leaves one of the two.
	next, err := os.CreateTemp(filepath.Dir(r.file), ".pages-*") // with mode 0600
	if err != nil {
		return fmt.Errorf("keep which pages may come back: %w", err)
	}
	defer os.Remove(next.Name())
	_, err = next.Write(data)
	if err := errors.Join(err, next.Close()); err != nil {
		return fmt.Errorf("keep which pages may come back: %w", err)
	}
	return os.Rename(next.Name(), r.file)
}

// challenge returns what a page must sign to come back.
func (r *returns) challenge() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := challenge{rand.Text(), r.now().Add(challengeLife)}
	r.challenges = append(r.challenges, c)
	r.challenges = r.challenges[max(0, len(r.challenges)-maxChallenges):]
	return c.text
}

// answer checks a signed challenge, which is used up thereby, and returns the shell of the page that may come back.
func (r *returns) answer(key []byte, text string, signature []byte) (localapi.PageRequest, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := slices.IndexFunc(r.challenges, func(c challenge) bool { return equal(c.text, text) })
	if asked < 0 {
		return localapi.PageRequest{}, false
	}
	expires := r.challenges[asked].expires
	r.challenges = slices.Delete(r.challenges, asked, asked+1)
	known := slices.IndexFunc(r.keys, func(k returnKey) bool { return slices.Equal(k.Key, key) })
	if known < 0 || r.now().After(expires) || r.now().After(r.keys[known].Expires) || !signed(key, returnPrefix+text, signature) {
		return localapi.PageRequest{}, false
	}
	return r.keys[known].shell(), true
}

// signed reports whether a signature as browsers make it, two numbers one after the other (IEEE P1363), is of a key.
func signed(key []byte, text string, signature []byte) bool {
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil || len(signature) != 2*coordinateSize {
		return false
	}
	hash := sha256.Sum256([]byte(text))
	return ecdsa.Verify(public, hash[:], new(big.Int).SetBytes(signature[:coordinateSize]), new(big.Int).SetBytes(signature[coordinateSize:]))
}

// shell is that of the daemon, with the kubeconfig and the folder of the shell that opened the page first.
func (k returnKey) shell() localapi.PageRequest {
	shell := localapi.PageRequest{WorkingDirectory: k.WorkingDirectory}
	if k.Kubeconfig != "" {
		shell.Environment = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, kubeconfigVariable) })
		shell.Environment = append(shell.Environment, kubeconfigVariable+k.Kubeconfig)
	}
	return shell
}
