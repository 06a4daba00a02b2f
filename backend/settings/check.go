// SPDX-License-Identifier: Apache-2.0

package settings

import (
	"errors"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
	"github.com/fairlead-dev/fairlead/helper/api"
)

const (
	// maxList bounds each list.
	maxList = 64
	// maxText bounds each text, in bytes. Linux bounds a path to 4096 (limits.h).
	maxText = 4096
)

// Carriers are what Carrier can be, besides empty.
var Carriers = []string{"auto", "udp", "relay"}

// Themes are what Theme can be, besides empty.
var Themes = []Theme{ThemeSystem, ThemeLight, ThemeDark}

// namespaceName is a DNS label (RFC 1123), as names of namespaces are.
var namespaceName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Check says, as a *problem.Problem, what is not right.
func (s Settings) Check() error {
	if s.Carrier != "" && !slices.Contains(Carriers, s.Carrier) {
		return problem.New(problem.Usage, "Use auto, udp or relay.", "carrier: there is no carrier %.60q", s.Carrier)
	}
	if s.Theme != "" && !slices.Contains(Themes, s.Theme) {
		return problem.New(problem.Usage, "Use system, light or dark.", "theme: there is no theme %.60q", string(s.Theme))
	}
	if s.GatewayNamespace != "" && !namespaceName.MatchString(s.GatewayNamespace) {
		return problem.New(problem.Usage, "Such a name has small letters, digits and '-', 63 at most.", "gatewayNamespace: %.80q is not the name of a namespace", s.GatewayNamespace)
	}
	for _, list := range []struct {
		name    string
		entries []string
		check   func(setting, entry string) error
	}{
		{"kubeconfigs", s.Kubeconfigs, checkFile},
		{"include", s.Include, checkRange},
		{"exclude", s.Exclude, checkRange},
		{"dnsDomains", s.DNSDomains, checkDomain},
		{"dnsExclude", s.DNSExclude, checkName},
	} {
		if len(list.entries) > maxList {
			return problem.New(problem.Usage, "Leave some out, or name what several of them have in common.", "%s: %d are too many; at most %d are taken", list.name, len(list.entries), maxList)
		}
		for _, entry := range list.entries {
			if err := list.check(list.name, entry); err != nil {
				return err
			}
		}
	}
	for name, text := range map[string]string{"connectAtStart": s.ConnectAtStart, "terminal": s.Terminal} {
		if !plain(text) {
			return problem.New(problem.Usage, "Leave out line breaks and other characters that can't be seen.", "%s: the text is too long or has characters that can't be seen", name)
		}
	}
	return nil
}

// checkFile refuses what is not the whole path of a file.
func checkFile(setting, file string) error {
	if !filepath.IsAbs(file) || !plain(file) {
		return problem.New(problem.Usage, "Write the whole path, such as /home/me/.kube/staging.", "%s: %.200q is not the full path of a file", setting, file)
	}
	return nil
}

func checkDomain(setting, domain string) error {
	return nameRefused(setting, api.ValidateDomain(domain))
}

func checkName(setting, name string) error { return nameRefused(setting, api.ValidateName(name)) }

// nameRefused is what the helper would say of a name; nil if it would take it.
func nameRefused(setting string, err error) error {
	if refusal, ok := errors.AsType[*api.Error](err); ok {
		return problem.New(problem.Usage, refusal.Hint, "%s: %s", setting, refusal.Message)
	}
	return nil
}

// checkRange refuses what is neither an address nor a range, and a range with bits behind its length, which is a typing
// mistake.
func checkRange(name, text string) error {
	if _, err := netip.ParseAddr(text); err == nil {
		return nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return problem.New(problem.Usage, "Give an address such as 10.1.2.3, or a range such as 10.1.0.0/16.", "%s: %.80q is neither an address nor a range", name, text)
	}
	if prefix != prefix.Masked() {
		return problem.New(problem.Usage, "Did you mean "+prefix.Masked().String()+"?", "%s: %q is not a range: it has bits set behind the first %d", name, text, prefix.Bits())
	}
	return nil
}

// plain reports whether a text is one that can be shown on one line.
func plain(text string) bool {
	return len(text) <= maxText && !strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f })
}

// clone returns a copy that shares nothing.
func (s Settings) clone() Settings {
	s.Kubeconfigs, s.Include, s.Exclude = slices.Clone(s.Kubeconfigs), slices.Clone(s.Include), slices.Clone(s.Exclude)
	s.DNSDomains, s.DNSExclude = slices.Clone(s.DNSDomains), slices.Clone(s.DNSExclude)
	return s
}
