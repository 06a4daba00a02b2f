// SPDX-License-Identifier: Apache-2.0

package autostart

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

func (v RegistryValue) set() error {
	key, _, err := registry.CreateKey(registry.CURRENT_USER, v.Key, registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf("open the registry key of programs that start at login: %w", err)
	}
	defer key.Close()
	if err := key.SetStringValue(v.Name, v.Text); err != nil {
		return fmt.Errorf("make the window start at login: %w", err)
	}
	return nil
}

func (v RegistryValue) remove() error {
	key, err := registry.OpenKey(registry.CURRENT_USER, v.Key, registry.SET_VALUE)
	if errors.Is(err, registry.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the registry key of programs that start at login: %w", err)
	}
	defer key.Close()
	if err := key.DeleteValue(v.Name); err != nil && !errors.Is(err, registry.ErrNotExist) {
		return fmt.Errorf("keep the window from starting at login: %w", err)
	}
	return nil
}
