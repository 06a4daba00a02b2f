// SPDX-License-Identifier: Apache-2.0

package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// jsonPatch returns the patch that makes of raw what after is to before. before is raw as this program's Kubernetes
// knows pods: what it does not know in raw stays untouched. It returns nil if nothing differs.
func jsonPatch(raw []byte, before, after *corev1.Pod) ([]byte, error) {
	var trees [3]any
	for i, source := range []any{json.RawMessage(raw), before, after} {
		text, err := json.Marshal(source)
		if err != nil {
			return nil, fmt.Errorf("encode the pod: %w", err)
		}
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber() // numbers stay as they are
		if err := decoder.Decode(&trees[i]); err != nil {
			return nil, fmt.Errorf("decode the pod: %w", err)
		}
	}
	operations := difference(nil, "", trees[0], trees[1], trees[2])
	if len(operations) == 0 {
		return nil, nil
	}
	patch, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("encode the patch: %w", err)
	}
	return patch, nil
}

// difference appends the operations on raw that correspond to the step from before to after.
func difference(operations []operation, path string, raw, before, after any) []operation {
	if reflect.DeepEqual(before, after) {
		return operations
	}
	switch after := after.(type) {
	case map[string]any:
		rawMap, ok := raw.(map[string]any)
		beforeMap, was := before.(map[string]any)
		if ok && was {
			return objectDifference(operations, path, rawMap, beforeMap, after)
		}
	case []any:
		rawList, ok := raw.([]any)
		beforeList, was := before.([]any)
		if ok && was && len(rawList) == len(beforeList) {
			return listDifference(operations, path, rawList, beforeList, after)
		}
	}
	return append(operations, operation{Op: "replace", Path: path, Value: after})
}

func objectDifference(operations []operation, path string, raw, before, after map[string]any) []operation {
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if _, stays := after[key]; stays {
			continue
		}
		if _, there := raw[key]; there {
			operations = append(operations, operation{Op: "remove", Path: path + "/" + escape(key)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after)) {
		value, there := raw[key]
		switch {
		case there:
			operations = difference(operations, path+"/"+escape(key), value, before[key], after[key])
		case !reflect.DeepEqual(before[key], after[key]):
			operations = append(operations, operation{Op: "add", Path: path + "/" + escape(key), Value: after[key]})
		}
	}
	return operations
}

// listDifference keeps what is the same at both ends of a list, so that an element that is put in moves the others rather
// than changing each into its neighbour.
func listDifference(operations []operation, path string, raw, before, after []any) []operation {
	start := 0
	for start < min(len(before), len(after)) && reflect.DeepEqual(before[start], after[start]) {
		start++
	}
	end := 0
	for end < min(len(before), len(after))-start && reflect.DeepEqual(before[len(before)-1-end], after[len(after)-1-end]) {
		end++
	}
	oldMiddle, newMiddle := before[start:len(before)-end], after[start:len(after)-end]
	if len(oldMiddle) == len(newMiddle) {
		for i := range newMiddle {
			operations = difference(operations, path+"/"+strconv.Itoa(start+i), raw[start+i], oldMiddle[i], newMiddle[i])
		}
		return operations
	}
	for range oldMiddle {
		operations = append(operations, operation{Op: "remove", Path: path + "/" + strconv.Itoa(start)})
	}
	for i, value := range newMiddle {
		operations = append(operations, operation{Op: "add", Path: path + "/" + strconv.Itoa(start+i), Value: value})
	}
	return operations
}

// escape writes a key as a part of a JSON pointer (RFC 6901, section 3).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
