// SPDX-License-Identifier: Apache-2.0

// Package settings keeps what the user has chosen for every connection, in one file of the user.
//
// It owns the file, its defaults and its checks. What a command says by flags goes before settings. It must not hold
// anything secret, and there is nothing in it about telemetry: there is none.
package settings

// Theme is how the page looks.
type Theme string

const (
	ThemeSystem Theme = "system"
	ThemeLight  Theme = "light"
	ThemeDark   Theme = "dark"
)

// Settings is what the user has chosen. The zero value is the default of everything.
type Settings struct {
	// Kubeconfigs are files in order of precedence; none is what kubectl would take.
	Kubeconfigs []string `json:"kubeconfigs,omitempty"`
	Carrier     string   `json:"carrier,omitempty"` // auto, udp or relay; empty is auto
	Include     []string `json:"include,omitempty"` // prefixes or addresses routed besides the cluster's
	Exclude     []string `json:"exclude,omitempty"` // prefixes or addresses left out
	// DNSDomains are asked of the cluster's DNS besides its own names, with all below them.
	DNSDomains []string `json:"dnsDomains,omitempty"`
	// DNSExclude are names that resolve as without Fairlead, with all below them.
	DNSExclude []string `json:"dnsExclude,omitempty"`
	// MapConflicts reaches ranges that clash with a network of this machine under other addresses.
	MapConflicts bool `json:"mapConflicts,omitempty"`
	// GatewayNamespace is where gateways are; empty is "fairlead".
	GatewayNamespace string `json:"gatewayNamespace,omitempty"`
	// Autostart starts the window, in the tray, when the user logs in.
	Autostart bool `json:"autostart,omitempty"`
	// ConnectAtStart names the context that the window connects to when it starts; empty is none.
	ConnectAtStart string `json:"connectAtStart,omitempty"`
	Theme          Theme  `json:"theme,omitempty"` // empty is system
	// Quiet keeps the desktop's notifications away.
	Quiet bool `json:"quiet,omitempty"`
	// Terminal is the program that opens a terminal; empty is the desktop's own.
	Terminal string `json:"terminal,omitempty"`
}
