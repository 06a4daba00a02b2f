// SPDX-License-Identifier: Apache-2.0

// Package charts holds the Helm chart that installs the gateway, embedded so that a program carries the chart of its
// own version.
//
// It owns the chart's files and their loading. It must not talk to a cluster: backend/gateway does.
package charts

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
)

// The pattern names what begins with a dot or an underscore too, which a plain folder name would leave out.
//
//go:embed all:fairlead
var files embed.FS

// root is the chart's folder, and its name.
const root = "fairlead"

// Load returns the chart as of a version, which becomes the chart's and the image's: both are released together.
// An empty version leaves what Chart.yaml says.
func Load(version string) (*chart.Chart, error) {
	var buffered []*archive.BufferedFile
	err := fs.WalkDir(files, root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := files.ReadFile(path)
		if err != nil {
			return err
		}
		buffered = append(buffered, &archive.BufferedFile{Name: strings.TrimPrefix(path, root+"/"), Data: data})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read embedded chart: %w", err)
	}
	loaded, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("load embedded chart: %w", err)
	}
	if version != "" {
		loaded.Metadata.Version = version
		loaded.Metadata.AppVersion = version
	}
	return loaded, nil
}
