// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/agent/api/wire"
	"github.com/fairlead-dev/fairlead/agent/tlsconn"
)

// Identity is who the sidecar is, and how it proves it: by Credential, or by the token in TokenFile, which is read anew each
// time since Kubernetes renews it.
type Identity struct {
	PodUID     string
	Container  string
	Credential string
	TokenFile  string
	Program    string // version
}

// Pin is the SHA-256 of the gateway certificate's SubjectPublicKeyInfo.
type Pin [sha256.Size]byte

// ParsePin reads a pin in base64url, with or without padding.
func ParsePin(text string) (Pin, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil || len(raw) != sha256.Size {
		return Pin{}, fmt.Errorf("the pin %q is not the base64url of %d bytes", text, sha256.Size)
	}
	return Pin(raw), nil
}

// Gateway is where the sidecar connects to. It is safe for concurrent use.
type Gateway struct {
	Addresses []netip.AddrPort // tried in turn
	Pin       Pin
	Identity  Identity
}

const (
	// dialTimeout bounds one attempt at one address, up to the gateway's Welcome.
	dialTimeout = 2 * time.Second
	keepAlive   = 5 * time.Second
)

// refusal is a Welcome that says no.
type refusal struct{ wire.Welcome }

func (r refusal) Error() string { return "the gateway refused: " + r.Welcome.Error }

// dial opens an authenticated connection to the first address that answers.
func (g *Gateway) dial(ctx context.Context, purpose wire.Purpose) (*tlsconn.Conn, error) {
	var errs []error
	for _, address := range g.Addresses {
		conn, err := g.dialOne(ctx, address, purpose)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("connect to the gateway at %s: %w", address, err))
		if said := (refusal{}); errors.As(err, &said) || ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (g *Gateway) dialOne(ctx context.Context, address netip.AddrPort, purpose wire.Purpose) (*tlsconn.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := net.Dialer{KeepAlive: keepAlive}
	dialer.SetMultipathTCP(false)
	plain, err := dialer.DialContext(ctx, "tcp", address.String())
	if err != nil {
		return nil, err
	}
	conn := tlsconn.Client(plain, g.config())
	stop := context.AfterFunc(ctx, func() { _ = plain.SetDeadline(time.Unix(1, 0)) })
	err = g.greet(ctx, conn, purpose)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = plain.Close()
		return nil, err
	}
	return conn, nil
}

// greet shakes hands and says Hello.
func (g *Gateway) greet(ctx context.Context, conn *tlsconn.Conn, purpose wire.Purpose) error {
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	hello := wire.Hello{
		Version: wire.Version, Purpose: purpose, Program: g.Identity.Program,
		PodUID: g.Identity.PodUID, Container: g.Identity.Container, Credential: g.Identity.Credential,
	}
	if g.Identity.TokenFile != "" {
		token, err := os.ReadFile(g.Identity.TokenFile)
		if err != nil {
			return fmt.Errorf("read the pod's token: %w", err)
		}
		hello.Token, hello.Credential = strings.TrimSpace(string(token)), ""
	}
	if err := wire.WriteMessage(conn, hello, wire.MaxOpen); err != nil {
		return err
	}
	var welcome wire.Welcome
	if err := wire.ReadMessage(conn, &welcome, wire.MaxOpen); err != nil {
		return fmt.Errorf("wait for the gateway's welcome: %w", err)
	}
	if welcome.Error != "" || welcome.Final {
		return refusal{welcome}
	}
	return nil
}

// config accepts exactly the certificate that has the pinned key, whoever signed it.
func (g *Gateway) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Latency does not suffer: a record goes out when it is written.
		DynamicRecordSizingDisabled: true,
		InsecureSkipVerify:          true, //nolint:gosec // VerifyConnection checks the key itself
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 {
				return errors.New("the gateway showed no certificate")
			}
			sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
			if subtle.ConstantTimeCompare(sum[:], g.Pin[:]) != 1 {
				return errors.New("the gateway's key is not the one this sidecar was given: something else answers at its address")
			}
			return nil
		},
	}
}
