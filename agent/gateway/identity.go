// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// identity is by what sidecars and the API server know the gateway. It follows from the WireGuard private key alone, so
// that each pod that serves, now or after a restart, has the same one and nothing more has to be kept.
type identity struct {
	certificate   tls.Certificate
	caBundle      []byte // the certificate, in PEM
	pin           string // base64url of the SHA-256 of its SubjectPublicKeyInfo
	credentialKey []byte // of the credentials of sidecars
}

// What HKDF (RFC 5869) makes of the private key, one use each.
const (
	tlsKeyInfo        = "fairlead gateway: TLS key, 1"
	credentialKeyInfo = "fairlead gateway: credentials of sidecars, 1"
)

// The certificate is trusted for its key, not for its dates: they are wide and fixed, so that it has the same bytes always.
var (
	validFrom  = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC)
)

// deriveIdentity makes the identity of the gateway in a namespace.
func deriveIdentity(privateKey [32]byte, namespace string) (identity, error) {
	seed, err := hkdf.Key(sha256.New, privateKey[:], nil, tlsKeyInfo, ed25519.SeedSize)
	if err != nil {
		return identity{}, fmt.Errorf("derive the TLS key: %w", err)
	}
	credentialKey, err := hkdf.Key(sha256.New, privateKey[:], nil, credentialKeyInfo, sha256.Size)
	if err != nil {
		return identity{}, fmt.Errorf("derive the key of credentials: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	name := sidecarService + "." + namespace + ".svc"
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: sidecarService},
		NotBefore: validFrom, NotAfter: validUntil, DNSNames: []string{name},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key) // Ed25519 needs no randomness (RFC 8032)
	if err != nil {
		return identity{}, fmt.Errorf("make the gateway's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return identity{}, fmt.Errorf("read the gateway's certificate: %w", err)
	}
	pin := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return identity{
		certificate:   tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		caBundle:      pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pin:           base64.RawURLEncoding.EncodeToString(pin[:]),
		credentialKey: credentialKey,
	}, nil
}
