// SPDX-License-Identifier: Apache-2.0

package localsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/Microsoft/go-winio"
	"golang.org/x/sys/windows"
)

// DefaultPath is where the helper listens. Only administrators and services can make pipes below ProtectedPrefix, so
// that no other program can pose as the helper.
const DefaultPath = `\\.\pipe\ProtectedPrefix\Administrators\Fairlead\helper`

// descriptor lets every local user who is logged on connect, LocalSystem and administrators do all, and keeps the
// network out. (SDDL: owner and group SYSTEM; deny NETWORK; allow SYSTEM and Administrators all; allow Authenticated
// Users to read and write, but not to make further instances of the pipe.)
const descriptor = "O:SYG:SYD:P(D;;GA;;;NU)(A;;GA;;;SY)(A;;GA;;;BA)(A;;0x12019b;;;AU)"

var impersonateNamedPipeClient = windows.NewLazySystemDLL("advapi32.dll").NewProc("ImpersonateNamedPipeClient")

func listen(path string) (*Listener, error) {
	listener, err := winio.ListenPipe(path, &winio.PipeConfig{
		SecurityDescriptor: descriptor,
		InputBufferSize:    256 << 10,
		OutputBufferSize:   256 << 10,
	})
	if err != nil {
		return nil, fmt.Errorf("listen on helper pipe: %w", err)
	}
	return &Listener{listener: listener, cleanup: func() error { return nil }}, nil
}

// dial lets the helper learn who calls (identification) but not act in the caller's name (impersonation).
func dial(ctx context.Context, path string) (net.Conn, error) {
	conn, err := winio.DialPipeAccessImpLevel(ctx, path, windows.GENERIC_READ|windows.GENERIC_WRITE, winio.PipeImpLevelIdentification)
	if err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("connect to helper pipe: %w", err)
	}
	return conn, err
}

// identify reads the caller's token from the pipe itself. A process id would not do: it may belong to another process
// by the time that it is looked up.
func identify(conn net.Conn) (Identity, error) {
	pipe, ok := conn.(interface{ Fd() uintptr })
	if !ok {
		return Identity{}, errors.New("not a named pipe")
	}
	token, err := callerToken(windows.Handle(pipe.Fd()))
	if err != nil {
		return Identity{}, err
	}
	identity, err := describe(token)
	if closeErr := token.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if err != nil {
		return Identity{}, err
	}
	var pid uint32
	if err := windows.GetNamedPipeClientProcessId(windows.Handle(pipe.Fd()), &pid); err == nil {
		identity.Process = int(pid)
	}
	return identity, nil
}

// callerToken opens the token of the pipe's client by impersonating it on a thread of its own for a moment.
func callerToken(pipe windows.Handle) (windows.Token, error) {
	type result struct {
		token windows.Token
		err   error
	}
	done := make(chan result, 1)
	go func() {
		// Not unlocked when reverting fails: the thread, which still poses as the caller, then ends with the goroutine.
		runtime.LockOSThread()
		if ok, _, err := impersonateNamedPipeClient.Call(uintptr(pipe)); ok == 0 {
			runtime.UnlockOSThread()
			done <- result{err: fmt.Errorf("identify pipe client: %w", err)}
			return
		}
		var token windows.Token
		err := windows.OpenThreadToken(windows.CurrentThread(), windows.TOKEN_QUERY, true, &token)
		if revertErr := windows.RevertToSelf(); revertErr != nil {
			done <- result{token, errors.Join(err, fmt.Errorf("stop impersonating: %w", revertErr))}
			return
		}
		runtime.UnlockOSThread()
		done <- result{token, err}
	}()
	r := <-done
	if r.err != nil {
		return 0, r.err
	}
	return r.token, nil
}

func describe(token windows.Token) (Identity, error) {
	user, err := token.GetTokenUser()
	if err != nil {
		return Identity{}, fmt.Errorf("read pipe client's user: %w", err)
	}
	sid := user.User.Sid
	if sid.IsWellKnown(windows.WinAnonymousSid) {
		return Identity{}, errors.New("the pipe client is anonymous")
	}
	identity := Identity{User: sid.String(), Name: sid.String(), Administrator: sid.IsWellKnown(windows.WinLocalSystemSid)}
	if account, domain, _, err := sid.LookupAccount(""); err == nil {
		identity.Name = domain + `\` + account
	}
	groups, err := token.GetTokenGroups()
	if err != nil {
		return Identity{}, fmt.Errorf("read pipe client's groups: %w", err)
	}
	for _, group := range groups.AllGroups() {
		if group.Attributes&windows.SE_GROUP_ENABLED != 0 && group.Attributes&windows.SE_GROUP_USE_FOR_DENY_ONLY == 0 {
			identity.Groups = append(identity.Groups, group.Sid.String())
		}
	}
	return identity, nil
}
