// SPDX-License-Identifier: Apache-2.0

//go:build desktop && !linux

package desktop

import (
	"context"
	"fmt"

	"github.com/wailsapp/wails/v2/pkg/runtime"
)

// toolkitNotifier shows notifications as the window toolkit does on macOS and Windows.
type toolkitNotifier struct{ ctx context.Context }

// newNotifier needs the window: macOS asks the user for permission in its name.
func newNotifier(ctx context.Context, clicked func(page string)) (Notifier, error) {
	if !runtime.IsNotificationAvailable(ctx) {
		return nil, fmt.Errorf("show notifications: this system has none for programs like this one")
	}
	if err := runtime.InitializeNotifications(ctx); err != nil {
		return nil, fmt.Errorf("show notifications: %w", err)
	}
	runtime.OnNotificationResponse(ctx, func(r runtime.NotificationResult) {
		if page, ok := r.Response.UserInfo["page"].(string); ok && r.Error == nil {
			clicked(page)
		}
	})
	if allowed, err := runtime.RequestNotificationAuthorization(ctx); err != nil || !allowed {
		return nil, fmt.Errorf("show notifications: the user does not want them (%w)", err)
	}
	return toolkitNotifier{ctx}, nil
}

func (n toolkitNotifier) Notify(note Notification) error {
	err := runtime.SendNotification(n.ctx, runtime.NotificationOptions{
		ID: note.Topic, Title: note.Title, Body: note.Text, Data: map[string]any{"page": note.Page},
	})
	if err != nil {
		return fmt.Errorf("show a notification: %w", err)
	}
	return nil
}

func (n toolkitNotifier) Close() { runtime.CleanupNotifications(n.ctx) }
