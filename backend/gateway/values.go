// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"

	"github.com/fairlead-dev/fairlead/backend/problem"
)

// values returns the chart values that the options ask for. It does not change o.Values.
func (o Options) values() (map[string]any, error) {
	values := merge(nil, o.Values)
	if o.Image != "" {
		repository, tag, digest, err := splitImage(o.Image)
		if err != nil {
			return nil, err
		}
		values = merge(values, map[string]any{"image": map[string]any{"repository": repository, "tag": tag, "digest": digest}})
	}
	if o.UDPType != "" {
		values = merge(values, map[string]any{"udp": map[string]any{"type": o.UDPType}})
	}
	return values, nil
}

// merge returns base with what over has, deep; neither is changed.
func merge(base, over map[string]any) map[string]any {
	merged := make(map[string]any, len(base)+len(over))
	for key, value := range base {
		merged[key] = value
	}
	for key, value := range over {
		before, wasMap := merged[key].(map[string]any)
		after, isMap := value.(map[string]any)
		switch {
		case wasMap && isMap:
			merged[key] = merge(before, after)
		case isMap:
			merged[key] = merge(nil, after)
		default:
			merged[key] = value
		}
	}
	return merged
}

// splitImage takes an image reference apart. A colon before the last slash belongs to a registry's port.
func splitImage(image string) (repository, tag, digest string, err error) {
	repository, digest, _ = strings.Cut(image, "@")
	if colon := strings.LastIndex(repository, ":"); colon > strings.LastIndex(repository, "/") {
		repository, tag = repository[:colon], repository[colon+1:]
	}
	if repository == "" || strings.ContainsAny(image, " \t\n") || strings.HasSuffix(image, ":") || strings.HasSuffix(image, "@") {
		return "", "", "", problem.New(problem.Usage, "Write it as registry.example.com/fairlead-agent:0.1.0.", "%q is not an image", image)
	}
	return repository, tag, digest, nil
}
