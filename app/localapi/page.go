// SPDX-License-Identifier: Apache-2.0

package localapi

// PageRequest asks for the page in the browser. What it says of the caller's shell is kept for the page, so that the page
// finds the kubeconfig as kubectl would in that shell.
type PageRequest struct {
	Environment      []string `json:"environment,omitempty"`      // NAME=value; empty is the daemon's own
	WorkingDirectory string   `json:"workingDirectory,omitempty"` // empty is the daemon's own
}

// Page says where the page is.
type Page struct {
	// URL opens the page once, within a minute. Whoever opens it may do what the user may.
	URL string `json:"url"`
}
