// SPDX-License-Identifier: Apache-2.0

package desktop

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// loopback is what must never go through a proxy: the page comes from there.
var loopback = []string{"127.0.0.1", "localhost"}

// PrepareEnvironment sets what the web view reads from the environment. It must be called before any window toolkit is.
func PrepareEnvironment() error {
	// A proxy setting of the desktop would otherwise take the page's requests, and the window would stay empty.
	if err := os.Setenv("no_proxy", withLoopback(cmp.Or(os.Getenv("no_proxy"), os.Getenv("NO_PROXY")))); err != nil {
		return fmt.Errorf("keep the page away from proxies: %w", err)
	}
	// WebKitGTK's way of sharing pictures with the graphics driver leaves windows empty with some drivers (WebKit bug
	// 262607). The page is text, and does without.
	if os.Getenv("WEBKIT_DISABLE_DMABUF_RENDERER") == "" {
		if err := os.Setenv("WEBKIT_DISABLE_DMABUF_RENDERER", "1"); err != nil {
			return fmt.Errorf("set up the web view: %w", err)
		}
	}
	return nil
}

// withLoopback adds loopback to a list of hosts that are reached without a proxy.
func withLoopback(list string) string {
	var hosts []string
	for host := range strings.SplitSeq(list, ",") {
		if host = strings.TrimSpace(host); host != "" {
			hosts = append(hosts, host)
		}
	}
	for _, host := range loopback {
		if !slices.Contains(hosts, host) && !slices.Contains(hosts, "*") {
			hosts = append(hosts, host)
		}
	}
	return strings.Join(hosts, ",")
}
