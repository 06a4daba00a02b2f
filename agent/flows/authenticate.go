// SPDX-License-Identifier: Apache-2.0

package flows

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
)

// ErrToken says that a token is not valid: expired, of another audience, or of a pod that is gone.
var ErrToken = errors.New("the token is not valid")

// refusal says why a sidecar is not let in.
type refusal struct {
	reason  reason
	message string // for people
	final   bool   // trying again is of no use
}

// Error implements error.
func (r *refusal) Error() string { return r.message }

// Credential returns what proves that a sidecar is the container of that pod. It is accepted only from the pod's own
// address, and only while SetPod says that the pod needs a sidecar.
func (s *Server) Credential(uid types.UID, container string) string {
	mac := hmac.New(sha256.New, s.options.CredentialKey)
	mac.Write([]byte(string(uid) + "/" + container))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// authenticate finds the pod of a sidecar, or why it is refused; with a pod if that is proven nevertheless.
func (s *Server) authenticate(ctx context.Context, hello wire.Hello, source netip.Addr) (*pod, *refusal) {
	if hello.Version != wire.Version {
		return nil, &refusal{reasonVersion, fmt.Sprintf("the sidecar speaks version %d of the contract, the gateway version %d", hello.Version, wire.Version), true}
	}
	if err := hello.Validate(); err != nil {
		return nil, &refusal{reasonMalformed, "hello: " + err.Error(), true}
	}
	uid, refused := s.identify(ctx, hello)
	if refused != nil {
		return nil, refused
	}
	deadline := time.Now()
	if hello.Purpose == wire.PurposeControl {
		deadline = deadline.Add(s.timing.welcome)
	}
	return s.admit(ctx, uid, hello.Container, source, deadline)
}

// identify checks a credential or token.
func (s *Server) identify(ctx context.Context, hello wire.Hello) (types.UID, *refusal) {
	if hello.Credential != "" {
		uid := types.UID(hello.PodUID)
		if !hmac.Equal([]byte(hello.Credential), []byte(s.Credential(uid, hello.Container))) {
			return "", &refusal{reasonCredential, "the credential is not one of this pod and container", true}
		}
		return uid, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.greet)
	defer cancel()
	identity, err := s.reviews.review(ctx, hello.Token, time.Now())
	switch {
	case err != nil:
		return "", &refusal{reasonCredential, err.Error(), false} // the kubelet replaces tokens, and the API server may come back
	case identity.PodUID == "":
		return "", &refusal{reasonCredential, "the token belongs to no pod", true}
	case hello.PodUID != "" && hello.PodUID != string(identity.PodUID):
		return "", &refusal{reasonCredential, "the token belongs to another pod", true}
	}
	return identity.PodUID, nil
}

// admit looks whether the pod needs the sidecar. What may come to be known soon it waits for until the deadline: a gateway
// that has just begun to serve, a pod whose address is not known yet.
func (s *Server) admit(ctx context.Context, uid types.UID, container string, source netip.Addr, deadline time.Time) (*pod, *refusal) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		s.mu.Lock()
		p, refused := s.admitNow(uid, container, source)
		known := s.known
		s.mu.Unlock()
		if refused == nil || refused.final {
			return p, refused
		}
		select {
		case <-known:
		case <-timer.C:
			return p, refused
		case <-ctx.Done():
			return p, refused
		}
	}
}

// admitNow needs s.mu.
func (s *Server) admitNow(uid types.UID, container string, source netip.Addr) (*pod, *refusal) {
	p := s.pods[uid]
	if p == nil {
		if _, gone := s.gone[uid]; gone {
			return nil, &refusal{reasonUnknown, "no intercept needs this sidecar any more", true}
		}
		return nil, &refusal{reasonUnknown, "no intercept needs a sidecar in this pod", false}
	}
	if !slices.ContainsFunc(p.spec.Addresses, func(a netip.Addr) bool { return a.Unmap() == source }) {
		return p, &refusal{reasonAddress, fmt.Sprintf("the sidecar's connection comes from %s, which is no address of its pod: "+
			"something between pod and gateway translates addresses, or the sidecar's credential is used elsewhere", source), false}
	}
	if p.spec.Container != "" && p.spec.Container != container {
		return p, &refusal{reasonContainer, fmt.Sprintf("container %s is not the one that serves this pod: %s is", container, p.spec.Container), true}
	}
	return p, nil
}

// Reviewed tokens are known for reviewAge; at most maxReviews.
const (
	reviewAge  = time.Minute
	maxReviews = 4096
)

// reviews remembers for a while whose a token is, since every connection of a sidecar shows it.
type reviews struct {
	tokens Tokens
	mu     sync.Mutex
	known  map[[sha256.Size]byte]reviewed
}

type reviewed struct {
	identity Identity
	at       time.Time
}

func newReviews(tokens Tokens) *reviews {
	return &reviews{tokens: tokens, known: make(map[[sha256.Size]byte]reviewed)}
}

func (r *reviews) review(ctx context.Context, token string, now time.Time) (Identity, error) {
	key := sha256.Sum256([]byte(token))
	r.mu.Lock()
	known, ok := r.known[key]
	r.mu.Unlock()
	if ok && now.Sub(known.at) < reviewAge {
		return known.identity, nil
	}
	identity, err := r.tokens.Review(ctx, token)
	if err != nil {
		return Identity{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.known) >= maxReviews {
		clear(r.known)
	}
	r.known[key] = reviewed{identity, now}
	return identity, nil
}
