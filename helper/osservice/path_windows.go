// SPDX-License-Identifier: Apache-2.0

package osservice

import (
	"errors"
	"fmt"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// environmentKey is where Windows keeps the environment that all users have in common.
const environmentKey = `SYSTEM\CurrentControlSet\Control\Session Manager\Environment`

// What tells the programs that run of a change of the environment (winuser.h). Each has as long to take note, in ms.
const (
	wmSettingChange  = 0x001a
	hwndBroadcast    = 0xffff
	smtoAbortIfHung  = 0x0002
	broadcastTimeout = 1000
)

var sendMessageTimeout = windows.NewLazySystemDLL("user32.dll").NewProc("SendMessageTimeoutW")

// AddToPath puts the program's folder on the PATH of all users. Programs that are started afterwards find it.
func AddToPath() error { return changePath(withFolder) }

func removeFromPath() error { return changePath(withoutFolder) }

func changePath(change func(list, folder string) string) error {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, environmentKey, registry.QUERY_VALUE|registry.SET_VALUE)
	if err != nil {
		return fmt.Errorf("open the environment of all users: %w", err)
	}
	defer key.Close()
	before, kind, err := key.GetStringValue("Path")
	if errors.Is(err, registry.ErrNotExist) {
		kind, err = registry.EXPAND_SZ, nil
	}
	if err != nil {
		return fmt.Errorf("read the PATH of all users: %w", err)
	}
	after := change(before, filepath.Dir(Files.Program))
	if after == before {
		return nil
	}
	set := key.SetExpandStringValue // references such as %SystemRoot% stay what they are
	if kind == registry.SZ {
		set = key.SetStringValue
	}
	if err := set("Path", after); err != nil {
		return fmt.Errorf("change the PATH of all users: %w", err)
	}
	environment, err := windows.UTF16PtrFromString("Environment")
	if err != nil {
		return err
	}
	// Who does not take note finds it after the next login.
	_, _, _ = sendMessageTimeout.Call(hwndBroadcast, wmSettingChange, 0, uintptr(unsafe.Pointer(environment)), smtoAbortIfHung, broadcastTimeout, 0)
	return nil
}
