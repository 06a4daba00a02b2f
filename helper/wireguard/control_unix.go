// SPDX-License-Identifier: Apache-2.0

//go:build unix

package wireguard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.zx2c4.com/wireguard/ipc"

	"github.com/fairlead-dev/fairlead/helper/restore"
)

const (
	// controlFolder is where wg(8) and wgctrl look for the sockets of user-space devices.
	controlFolder = "/var/run/wireguard"
	// kindSocket names the journal entries of this file.
	kindSocket = "wireguard-socket"
)

// controlSocket is the unix socket of a device.
type controlSocket struct {
	listener net.Listener
	journal  *restore.Journal
	entry    uint64
}

// socketEntry is what undoing takes.
type socketEntry struct {
	Path   string `json:"path"`
	Folder string `json:"folder,omitempty"` // made for the socket; goes with it when it is empty then
}

// Kinds returns the journal entries of this package and how they are undone.
func Kinds() []restore.Kind {
	return []restore.Kind{{Name: kindSocket, Undo: func(_ context.Context, data json.RawMessage) error {
		var entry socketEntry
		if err := json.Unmarshal(data, &entry); err != nil {
			return fmt.Errorf("read journal entry: %w", err)
		}
		return entry.undo()
	}}}
}

func (e socketEntry) undo() error {
	if conn, err := net.Dial("unix", e.Path); err == nil {
		return errors.Join(fmt.Errorf("%s is in use", e.Path), conn.Close())
	}
	if err := os.Remove(e.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if e.Folder == "" {
		return nil
	}
	err := os.Remove(e.Folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return nil
	}
	return err
}

// ControlFree reports whether an interface of this name may have a control socket: none is in use under it.
func ControlFree(name string) bool {
	conn, err := net.Dial("unix", socketPath(name))
	if err != nil {
		return true
	}
	_ = conn.Close()
	return false
}

func socketPath(name string) string { return filepath.Join(controlFolder, name+".sock") }

func openControlSocket(name string, journal *restore.Journal) (*controlSocket, error) {
	entry := socketEntry{Path: socketPath(name)}
	if _, err := os.Lstat(controlFolder); errors.Is(err, fs.ErrNotExist) {
		entry.Folder = controlFolder
	}
	id, err := journal.Record(context.Background(), kindSocket, entry)
	if err != nil {
		return nil, err
	}
	s := &controlSocket{journal: journal, entry: id}
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		return nil, errors.Join(err, journal.Undo(context.Background(), id))
	}
	s.listener, err = ipc.UAPIListen(name, file)
	if err != nil {
		return nil, errors.Join(err, file.Close(), journal.Undo(context.Background(), id))
	}
	if err := file.Close(); err != nil { // the listener has its own descriptor
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *controlSocket) close() error {
	return errors.Join(s.listener.Close(), s.journal.Undo(context.Background(), s.entry))
}
