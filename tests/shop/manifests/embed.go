// SPDX-License-Identifier: Apache-2.0

// Package manifests holds the sample shop's Kubernetes objects, for namespace shop and image fairlead.test/shop:dev.
// They are plain YAML, to be applied by people as well; the package has no logic and must not get any.
package manifests

import "embed"

// Files are the manifests. They are in the order to apply them.
//
//go:embed *.yaml
var Files embed.FS
