// SPDX-License-Identifier: Apache-2.0

// Package control is the part of the sidecar that obeys the gateway: it keeps the control connection, carries orders out (what
// is redirected, who is let go), reports how it stands, and opens flows to laptops for the proxy.
//
// Its one rule is that the app is never worse off than without it. Nothing is redirected unless the gateway was heard within
// wire.SilenceLimit and the app has the port open; what the laptop does not take, the app gets. The package owns the state of
// the ports (Duty), the connection to the gateway (Client), idle flow connections (Pool), probes of the whole way, and the
// flows of datagrams. It looks into no request, and knows no Kubernetes.
package control
