// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/fairlead-dev/fairlead/app/localapi"
	"github.com/fairlead-dev/fairlead/backend/session"
)

// field is one line of a block: what, and how it is. Fields without a value are left out.
type field struct{ name, value string }

// writeFields writes a block of fields, values below each other.
func writeFields(w io.Writer, fields []field) {
	widest := 0
	for _, f := range fields {
		if f.value != "" {
			widest = max(widest, len(f.name))
		}
	}
	for _, f := range fields {
		if f.value == "" {
			continue
		}
		indented := strings.ReplaceAll(f.value, "\n", "\n"+strings.Repeat(" ", widest+4))
		fmt.Fprintf(w, "  %-*s  %s\n", widest, f.name, indented)
	}
}

// writeTable writes rows below a header.
func writeTable(w io.Writer, header []string, rows [][]string) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(table, strings.Join(header, "\t"))
	for _, row := range rows {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	_ = table.Flush()
}

// headline is the truth about the session in one line.
func headline(s localapi.Status) string {
	where := s.Context
	if where == "" {
		where = s.Server
	}
	if where == "" {
		where = "the cluster"
	}
	switch s.State {
	case session.Connected:
		line := "Connected to " + where
		if s.User != "" {
			line += " as " + s.User
		}
		if s.Namespace != "" {
			line += ", namespace " + s.Namespace
		}
		if s.Carrier.Active != "" {
			line += ", over " + carrierName(s.Carrier.Active)
			if s.Carrier.RTT > 0 {
				line += fmt.Sprintf(" (%s)", milliseconds(s.Carrier.RTT))
			}
		}
		return line + "."
	case session.Connecting:
		return withStep("Connecting to "+where, s.Step)
	case session.Reconnecting:
		return withStep("Reconnecting to "+where+"; nothing gets through at the moment", s.Step)
	case session.Disconnecting:
		return withStep("Disconnecting from "+where, s.Step)
	default:
		return "Not connected."
	}
}

func withStep(line, step string) string {
	if step == "" {
		return line + "."
	}
	return line + ": " + step + "."
}

func carrierName(name string) string {
	switch name {
	case "udp":
		return "UDP"
	case "relay":
		return "the relay"
	}
	return name
}

func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

// sessionFields is what there is to know about a session beyond the headline.
func sessionFields(s localapi.Status) []field {
	gateway := ""
	if s.Gateway.Pod != "" || s.Gateway.Version != "" {
		gateway = strings.TrimSpace(s.Gateway.Namespace + "/" + s.Gateway.Pod + "  " + s.Gateway.Version)
	}
	return []field{
		{"Cluster", s.Server},
		{"Carrier", carrierText(s.Carrier)},
		{"Gateway", gateway},
		{"Reachable", prefixes(s.Routes)},
		{"Mapped", mappings(s.Mappings)},
		{"Names", names(s)},
		{"Address", addresses(s.Addresses)},
	}
}

// trafficFields is what changes while nothing else does.
func trafficFields(s localapi.Status, now time.Time) []field {
	var fields []field
	if s.Since != nil {
		fields = append(fields, field{"Since", s.Since.Local().Format("2006-01-02 15:04:05") + " (" + ago(now.Sub(*s.Since)) + ")"})
	}
	if s.Device != "" {
		device := s.Device
		if s.MTU > 0 {
			device += fmt.Sprintf(", MTU %d", s.MTU)
		}
		fields = append(fields, field{"Device", device},
			field{"Traffic", fmt.Sprintf("%s received, %s sent", size(s.Received), size(s.Sent))})
	}
	return fields
}

func carrierText(c session.CarrierStatus) string {
	text := c.Active
	if text == "" {
		if c.Mode == "" {
			return ""
		}
		text = "none answers"
	}
	if c.Endpoint != "" {
		text += " " + c.Endpoint
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// prefixes lists ranges, some to a line.
func prefixes(list []netip.Prefix) string {
	const perLine = 4
	var lines []string
	for len(list) > 0 {
		n := min(perLine, len(list))
		var texts []string
		for _, prefix := range list[:n] {
			text := prefix.String()
			if prefix.IsSingleIP() {
				text = prefix.Addr().String()
			}
			texts = append(texts, text)
		}
		lines = append(lines, strings.Join(texts, "  "))
		list = list[n:]
	}
	return strings.Join(lines, "\n")
}

func mappings(list []session.Mapping) string {
	var lines []string
	for _, m := range list {
		line := fmt.Sprintf("%s is at %s", m.Range, m.Mapped)
		if m.Because != "" {
			line += ", because of " + m.Because
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func addresses(list []netip.Addr) string {
	var texts []string
	for _, address := range list {
		texts = append(texts, address.String())
	}
	return strings.Join(texts, "  ")
}

// names says which names resolve, and whether they do.
func names(s localapi.Status) string {
	if s.DNS.Mode == "" && s.DNS.ClusterDomain == "" {
		return ""
	}
	text := "SERVICE, SERVICE.NAMESPACE and *." + strings.Join(append([]string{s.DNS.ClusterDomain}, s.DNS.Domains...), ", *.")
	if s.DNS.Mode != "" {
		text += " through " + resolverName(s.DNS.Mode)
	}
	if !s.DNS.Healthy {
		text += "; NOT WORKING"
	}
	if s.DNS.Detail != "" {
		text += " (" + s.DNS.Detail + ")"
	}
	return text
}

// resolverName is what people call the thing that a DNS mode works through.
func resolverName(mode string) string {
	switch mode {
	case "file":
		return "/etc/resolv.conf"
	case "networkmanager":
		return "NetworkManager"
	case "resolver-files":
		return "/etc/resolver"
	case "nrpt":
		return "the name resolution policy table"
	}
	return mode
}

func writeNotes(w io.Writer, s localapi.Status) {
	for _, note := range s.Notes {
		fmt.Fprintf(w, "\nNote: %s\n", sentence(note))
	}
}

// ago is a duration as people say it.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
}

// size is a number of bytes as people say it, in powers of 1024 (IEC 80000-13).
func size(bytes uint64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	value, unit := float64(bytes), 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}
