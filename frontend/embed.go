// SPDX-License-Identifier: Apache-2.0

// Package frontend is the page that the daemon serves to browsers and to the window, as files inside the program.
//
// It owns the page's sources and what 'make frontend' builds of them into dist. A program that is built without that
// step has no page, and says so. It must not contain logic in Go.
package frontend

import (
	"embed"
	"io/fs"
)

// dist always exists, be it with only .gitkeep in it, so that a fresh clone compiles.
//
//go:embed all:dist
var dist embed.FS

// Files returns the built page; index.html is missing from it in a program that was built without the page.
func Files() fs.FS {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a valid path: it is the constant above
	}
	return files
}
