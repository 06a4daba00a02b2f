// SPDX-License-Identifier: Apache-2.0

//go:build desktop

package desktop

import "context"

// newNotifier needs no window.
func newNotifier(_ context.Context, clicked func(page string)) (Notifier, error) {
	return NewNotifier(clicked)
}
