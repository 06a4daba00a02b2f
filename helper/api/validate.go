// SPDX-License-Identifier: Apache-2.0

package api

import (
	"crypto/subtle"
	"encoding/base64"
	"net/netip"
	"strings"
)

// Bounds of what one caller may ask for. They keep a defective or hostile caller of an allowed user from using up the
// machine, and are far above what clusters need.
const (
	MaxRoutes       = 256
	MaxNamespaces   = 1000 // as many as a Connection reports
	MaxDomains      = 64   // that a user has named
	MaxEndpoints    = 8    // as many as a Connection reports
	MaxExempt       = 32   // addresses of an API server and its proxy
	MaxInboundPorts = 256
	maxVersion      = 64 // bytes of a version string

	// MinInboundPort keeps services of the machine itself, such as sshd, out of reach: intercept listeners belong to
	// an ordinary user and so are above (RFC 6335, system ports).
	MinInboundPort = 1024

	// SessionLength is the length of a session's name: 16 random bytes in hexadecimal.
	SessionLength = 32
)

const hintVersion = "Caller and helper must be of the same version: reinstall both."

// Validate checks the protocol version and bounds.
func (r *PrepareRequest) Validate() error {
	if r.Protocol != Protocol {
		older := "helper"
		if r.Protocol < Protocol {
			older = "caller"
		}
		return refuse(CodeProtocol, "Install helper and Fairlead of the same version.",
			"the helper speaks protocol %d and the caller %d: the %s is older", Protocol, r.Protocol, older)
	}
	if len(r.ClientVersion) > maxVersion || strings.ContainsFunc(r.ClientVersion, notPrintable) {
		return refuse(CodeBadRequest, hintVersion, "the client version is not a version")
	}
	return nil
}

// Validate checks the session's name and every part of the tunnel.
func (r *UpRequest) Validate() error {
	if err := validateSession(r.Session); err != nil {
		return err
	}
	return r.Tunnel.Validate()
}

// Validate checks the session's name and every part that is set. Rules that concern several parts, such as a route
// to an exempt address, are checked again by Tunnel.Validate after Apply.
func (r *UpdateRequest) Validate() error {
	if err := validateSession(r.Session); err != nil {
		return err
	}
	if r.Peer != nil {
		if err := r.Peer.validate(); err != nil {
			return err
		}
	}
	if r.Addresses != nil {
		if err := validateTunnelAddresses("tunnel", *r.Addresses); err != nil {
			return err
		}
	}
	if r.Routes != nil {
		if err := validateRoutes(*r.Routes); err != nil {
			return err
		}
	}
	if r.Exempt != nil {
		if err := validateExempt(*r.Exempt); err != nil {
			return err
		}
	}
	if r.DNS != nil {
		if err := r.DNS.validate(); err != nil {
			return err
		}
	}
	if r.InboundPorts != nil {
		if err := validateInboundPorts(*r.InboundPorts); err != nil {
			return err
		}
	}
	if r.Carrier != nil {
		return r.Carrier.validate()
	}
	return nil
}

// Apply returns tunnel with the parts that r changes.
func (r *UpdateRequest) Apply(tunnel Tunnel) Tunnel {
	if r.Peer != nil {
		tunnel.Peer = *r.Peer
	}
	if r.Addresses != nil {
		tunnel.Addresses = *r.Addresses
	}
	if r.Routes != nil {
		tunnel.Routes = *r.Routes
	}
	if r.Exempt != nil {
		tunnel.Exempt = *r.Exempt
	}
	if r.DNS != nil {
		tunnel.DNS = r.DNS
	}
	if r.InboundPorts != nil {
		tunnel.InboundPorts = *r.InboundPorts
	}
	if r.Carrier != nil {
		tunnel.Carrier = *r.Carrier
	}
	return tunnel
}

// Validate checks the session's name.
func (r *DownRequest) Validate() error { return validateSession(r.Session) }

// Validate checks the session's name.
func (r *WatchRequest) Validate() error { return validateSession(r.Session) }

// Validate checks the session's name.
func (r *CarrierRequest) Validate() error { return validateSession(r.Session) }

// Validate checks every part of the tunnel and how they fit together.
func (t *Tunnel) Validate() error {
	if err := validateTunnelAddresses("tunnel", t.Addresses); err != nil {
		return err
	}
	if err := t.Peer.validate(); err != nil {
		return err
	}
	if err := validateRoutes(t.Routes); err != nil {
		return err
	}
	if err := validateExempt(t.Exempt); err != nil {
		return err
	}
	if err := t.validateExemptRoutes(); err != nil {
		return err
	}
	if t.DNS != nil {
		if err := t.DNS.validate(); err != nil {
			return err
		}
	}
	if err := validateInboundPorts(t.InboundPorts); err != nil {
		return err
	}
	return t.Carrier.validate()
}

// validateExemptRoutes refuses a route to exactly an address that must not go into the tunnel. A range that happens
// to cover such an address is fine: the exemption wins.
func (t *Tunnel) validateExemptRoutes() error {
	exempt := t.Exempt
	for _, endpoint := range t.Peer.UDP {
		exempt = append(exempt[:len(exempt):len(exempt)], endpoint.Addr())
	}
	for _, address := range exempt {
		for _, route := range t.Routes {
			if route.IsSingleIP() && route.Addr() == address.Unmap() {
				return refuse(CodeRouteRefused, "Leave the address out of the routes.",
					"a route to %s would cut the tunnel off: the API server or the gateway is reached there", address)
			}
		}
	}
	return nil
}

func (p *Peer) validate() error {
	if err := validateKey(p.PublicKey); err != nil {
		return err
	}
	if err := validateTunnelAddresses("gateway", p.Addresses); err != nil {
		return err
	}
	if len(p.UDP) > MaxEndpoints {
		return refuse(CodeBadRequest, "", "%d UDP endpoints are more than the %d allowed", len(p.UDP), MaxEndpoints)
	}
	for _, endpoint := range p.UDP {
		if endpoint.Port() == 0 || !isHost(endpoint.Addr()) {
			return refuse(CodeBadRequest, "", "%s is not an endpoint for UDP", endpoint)
		}
	}
	return nil
}

func (c CarrierName) validate() error {
	switch c {
	case CarrierNone, CarrierUDP, CarrierRelay:
		return nil
	}
	return refuse(CodeBadRequest, "", "there is no carrier %q", string(c))
}

func validateSession(session string) error {
	if len(session) != SessionLength || strings.Trim(session, "0123456789abcdef") != "" {
		return refuse(CodeNoSession, "Prepare a session first.", "%q is not the name of a session", clip(session))
	}
	return nil
}

func validateKey(key string) error {
	raw, err := base64.StdEncoding.Strict().DecodeString(key)
	if err != nil || len(raw) != 32 {
		return refuse(CodeBadRequest, "", "the gateway's public key is not 32 bytes in base64")
	}
	if subtle.ConstantTimeCompare(raw, make([]byte, 32)) == 1 {
		return refuse(CodeBadRequest, "", "the gateway's public key is all zeros")
	}
	return nil
}

func validateExempt(addresses []netip.Addr) error {
	if len(addresses) > MaxExempt {
		return refuse(CodeBadRequest, "", "%d exempt addresses are more than the %d allowed", len(addresses), MaxExempt)
	}
	for _, address := range addresses {
		if !isHost(address) {
			return refuse(CodeBadRequest, "", "%s is not the address of a host", address)
		}
	}
	return nil
}

func validateInboundPorts(ports []uint16) error {
	if len(ports) > MaxInboundPorts {
		return refuse(CodeBadRequest, "", "%d inbound ports are more than the %d allowed", len(ports), MaxInboundPorts)
	}
	for _, port := range ports {
		if port < MinInboundPort {
			return refuse(CodeBadRequest, "Listen on a port of at least 1024.",
				"port %d is for services of this machine and is never opened to the cluster", port)
		}
	}
	return nil
}

// isHost reports whether an address can be one host's: unicast, specified, and without a zone.
func isHost(a netip.Addr) bool {
	return a.IsValid() && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() && a != broadcast
}

func notPrintable(r rune) bool { return r < 0x21 || r > 0x7e }

// clip shortens what a caller sent to what an error message may repeat.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
