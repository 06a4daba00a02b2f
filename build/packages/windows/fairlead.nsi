; SPDX-License-Identifier: Apache-2.0
; The installer for Windows, for all users of a machine. build/packages/windows.sh lays its files out and calls makensis with
; VERSION, NUMBERS (the version as four numbers) and, where the tunnel's driver is among the files, WINTUN.
;
; Silent: /S. Who may connect, besides whoever sits at the desktop: /USER=name, /GROUP=name; both may be a SID.
; The uninstaller: /S, and /SETTINGS to remove the settings of the user who runs it as well.
; Exit status: 0 done, 1 cancelled, 2 not installed, 3 installed, but the helper does not run.

Unicode true
Target amd64-unicode
ManifestSupportedOS Win10
ManifestDPIAware true
RequestExecutionLevel admin
SetCompressor /SOLID lzma
SetDateSave off
CRCCheck force
AllowSkipFiles off

!include LogicLib.nsh
!include FileFunc.nsh
!include WinVer.nsh
!include x64.nsh
!include MUI2.nsh

!define UNINSTALL_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\Fairlead"
!define LINK_KEY "Software\Classes\fairlead"
!define TOAST_KEY "Software\Classes\AppUserModelId\fairlead-desktop.exe"
; The runtime's own record of its version (Microsoft, "Distribute your app and the WebView2 Runtime", "Detect if a WebView2 Runtime is
; already installed"), and where it is to be had.
!define WEBVIEW_CLIENT "Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}"
!define WEBVIEW_PAGE "https://developer.microsoft.com/microsoft-edge/webview2/"

Name "Fairlead"
BrandingText "Fairlead ${VERSION}"
InstallDir "$PROGRAMFILES64\Fairlead" ; the helper knows this folder: only administrators write there
ShowInstDetails nevershow
ShowUninstDetails nevershow
VIProductVersion "${NUMBERS}"
VIFileVersion "${NUMBERS}"
VIAddVersionKey ProductName "Fairlead"
VIAddVersionKey ProductVersion "${VERSION}"
VIAddVersionKey FileVersion "${VERSION}"
VIAddVersionKey FileDescription "Fairlead setup"
VIAddVersionKey CompanyName "The Fairlead project"
VIAddVersionKey LegalCopyright "The Fairlead authors. Apache License 2.0."

!define MUI_ICON fairlead.ico
!define MUI_UNICON fairlead.ico
!define MUI_ABORTWARNING
!define MUI_WELCOMEPAGE_TEXT "Fairlead connects this machine to a Kubernetes cluster as if it were a pod in it.$\r$\n$\r$\nThis installs the command line, the window, and the helper: a service that owns the tunnel, its routes and its names. An earlier version is replaced; whoever is connected now will have to connect again.$\r$\n$\r$\n$_CLICK"
!define MUI_FINISHPAGE_RUN
!define MUI_FINISHPAGE_RUN_TEXT "Open Fairlead"
!define MUI_FINISHPAGE_RUN_FUNCTION OpenWindow
!ifdef WINTUN
	!define MUI_FINISHPAGE_TEXT "Fairlead is in the Start menu; in a new terminal, the command is fairlead.$\r$\n$\r$\nWho installed it may connect. An administrator allows others: fairlead-helper allow --user NAME"
!else
	!define MUI_FINISHPAGE_TEXT "One file is missing before anybody can connect: wintun.dll, the driver of the tunnel, which this installer was made without. It is in the archive that www.wintun.net offers, under wintun\bin\amd64. Put it into $INSTDIR.$\r$\n$\r$\nFairlead is in the Start menu; in a new terminal, the command is fairlead."
!endif
!insertmacro MUI_PAGE_WELCOME
!insertmacro MUI_PAGE_LICENSE license.txt
!insertmacro MUI_PAGE_INSTFILES
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_CONFIRM
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE English

Var WindowRan ; 0 if the window ran and was ended

!macro Begin
	SetShellVarContext all
	SetRegView 64
	${IfNot} ${AtLeastWin10}
	${OrIfNot} ${IsNativeAMD64}
		MessageBox MB_OK|MB_ICONSTOP "Fairlead needs Windows 10 or newer, on a machine with a 64-bit Intel or AMD processor." /SD IDOK
		SetErrorLevel 2
		Quit
	${EndIf}
!macroend

; Ends all of Fairlead that runs. The user's own daemon disconnects first; the service puts the machine back as it stops.
!macro EndPrograms
	StrCpy $WindowRan 1
	${If} ${FileExists} "$INSTDIR\fairlead.exe"
		DetailPrint "Ending what runs of Fairlead"
		nsExec::ExecToLog '"$INSTDIR\fairlead.exe" quit'
		Pop $0
		nsExec::Exec '"$SYSDIR\taskkill.exe" /F /IM fairlead-desktop.exe'
		Pop $WindowRan
		nsExec::Exec '"$SYSDIR\taskkill.exe" /F /IM fairlead.exe'
		Pop $0
		nsExec::Exec '"$SYSDIR\net.exe" stop FairleadHelper'
		Pop $0
	${EndIf}
!macroend

Function .onInit
	!insertmacro Begin
	StrCpy $INSTDIR "$PROGRAMFILES64\Fairlead" ; also if /D= names another
FunctionEnd

Function un.onInit
	!insertmacro Begin
FunctionEnd

; The desktop starts the window, with the rights of whoever sits there; this program's own would be an administrator's.
Function OpenWindow
	Exec '"$WINDIR\explorer.exe" "$INSTDIR\fairlead-desktop.exe"'
FunctionEnd

; Leaves the version of the WebView2 runtime in $0; empty if there is none.
Function FindWebView
	ReadRegStr $0 HKLM "SOFTWARE\WOW6432Node\${WEBVIEW_CLIENT}" pv
	${If} $0 == ""
	${OrIf} $0 == "0.0.0.0"
		ReadRegStr $0 HKCU "Software\${WEBVIEW_CLIENT}" pv
	${EndIf}
	${If} $0 == "0.0.0.0"
		StrCpy $0 ""
	${EndIf}
FunctionEnd

Section
	!insertmacro EndPrograms
	SetOutPath "$INSTDIR"
	File fairlead.exe
	File fairlead-helper.exe
	File fairlead-desktop.exe
	!ifdef WINTUN
		File wintun.dll
		File wintun-license.txt
	!endif
	File license.txt
	File third-party-licenses.txt
	WriteUninstaller "$INSTDIR\uninstall.exe"

	WriteRegStr HKLM "${LINK_KEY}" "" "URL:Fairlead"
	WriteRegStr HKLM "${LINK_KEY}" "URL Protocol" ""
	WriteRegStr HKLM "${LINK_KEY}\DefaultIcon" "" '"$INSTDIR\fairlead-desktop.exe",0'
	WriteRegStr HKLM "${LINK_KEY}\shell\open\command" "" '"$INSTDIR\fairlead-desktop.exe" "%1"'
	CreateShortcut "$SMPROGRAMS\Fairlead.lnk" "$INSTDIR\fairlead-desktop.exe" "" "" "" "" "" "Connects this machine to a Kubernetes cluster"

	WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayName "Fairlead"
	WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayVersion "${VERSION}"
	WriteRegStr HKLM "${UNINSTALL_KEY}" Publisher "The Fairlead project"
	WriteRegStr HKLM "${UNINSTALL_KEY}" URLInfoAbout "https://github.com/fairlead-dev/fairlead"
	WriteRegStr HKLM "${UNINSTALL_KEY}" DisplayIcon '"$INSTDIR\fairlead-desktop.exe",0'
	WriteRegStr HKLM "${UNINSTALL_KEY}" InstallLocation "$INSTDIR"
	WriteRegStr HKLM "${UNINSTALL_KEY}" UninstallString '"$INSTDIR\uninstall.exe"'
	WriteRegStr HKLM "${UNINSTALL_KEY}" QuietUninstallString '"$INSTDIR\uninstall.exe" /S'
	WriteRegDWORD HKLM "${UNINSTALL_KEY}" NoModify 1
	WriteRegDWORD HKLM "${UNINSTALL_KEY}" NoRepair 1
	${GetSize} "$INSTDIR" "/S=0K" $0 $1 $2
	WriteRegDWORD HKLM "${UNINSTALL_KEY}" EstimatedSize $0

	; The helper makes its service, names who may connect, and puts this folder on everybody's PATH; its uninstall undoes it.
	StrCpy $1 '"$INSTDIR\fairlead-helper.exe" install --path'
	${GetParameters} $2
	ClearErrors
	${GetOptions} $2 "/USER=" $3
	${IfNot} ${Errors}
		StrCpy $1 '$1 --user "$3"'
	${EndIf}
	ClearErrors
	${GetOptions} $2 "/GROUP=" $3
	${IfNot} ${Errors}
		StrCpy $1 '$1 --group "$3"'
	${EndIf}
	ClearErrors
	nsExec::ExecToStack $1
	Pop $0
	Pop $1
	DetailPrint "$1"
	${If} $0 != 0
		SetErrorLevel 3
		MessageBox MB_OK|MB_ICONEXCLAMATION "Fairlead is installed, but its helper does not run:$\r$\n$\r$\n$1$\r$\nTo try again, in a terminal of an administrator: fairlead-helper install" /SD IDOK
	${EndIf}

	Call FindWebView
	${If} $0 == ""
		MessageBox MB_YESNO|MB_ICONQUESTION "The window needs Microsoft's WebView2 runtime, which this machine does not have. The command line, and the page in a browser (fairlead open), work without it.$\r$\n$\r$\nOpen the page where Microsoft offers it?" /SD IDNO IDNO webview_done
		ExecShell open "${WEBVIEW_PAGE}"
		webview_done:
	${EndIf}
	${If} ${Silent}
	${AndIf} $WindowRan == 0
		Call OpenWindow
	${EndIf}
SectionEnd

Section Uninstall
	!insertmacro EndPrograms
	nsExec::ExecToStack '"$INSTDIR\fairlead-helper.exe" uninstall'
	Pop $0
	Pop $1
	DetailPrint "$1"
	${If} $0 != 0
		MessageBox MB_OKCANCEL|MB_ICONEXCLAMATION "The helper could not be removed:$\r$\n$\r$\n$1$\r$\nRemove the rest all the same?" /SD IDCANCEL IDOK remove
		SetErrorLevel 2
		Abort
	${EndIf}
	remove:
	Delete "$SMPROGRAMS\Fairlead.lnk"
	DeleteRegKey HKLM "${LINK_KEY}"
	DeleteRegKey HKLM "${UNINSTALL_KEY}"
	DeleteRegValue HKCU "Software\Microsoft\Windows\CurrentVersion\Run" "Fairlead" ; the start at login, a setting of this user
	; What the window toolkit has registered for this user's notifications.
	ReadRegStr $0 HKCU "${TOAST_KEY}" CustomActivator
	${If} $0 != ""
		DeleteRegKey HKCU "Software\Classes\CLSID\$0"
	${EndIf}
	DeleteRegKey HKCU "${TOAST_KEY}"
	Delete "$INSTDIR\fairlead.exe"
	Delete "$INSTDIR\fairlead-helper.exe"
	Delete "$INSTDIR\fairlead-desktop.exe"
	Delete "$INSTDIR\wintun.dll"
	Delete "$INSTDIR\wintun-license.txt"
	Delete "$INSTDIR\license.txt"
	Delete "$INSTDIR\third-party-licenses.txt"
	Delete "$INSTDIR\uninstall.exe"
	RMDir "$INSTDIR"

	; The settings of the user who runs this stay, unless it is asked for.
	${GetParameters} $2
	ClearErrors
	${GetOptions} $2 "/SETTINGS" $3
	${If} ${Errors}
		MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "Remove your settings of Fairlead, too?" /SD IDNO IDNO settings_done
	${EndIf}
	SetShellVarContext current
	RMDir /r "$APPDATA\fairlead"
	RMDir /r "$APPDATA\fairlead-desktop.exe" ; what the web view keeps
	RMDir /r "$LOCALAPPDATA\fairlead"
	RMDir /r "$PROFILE\.local\state\fairlead"
	RMDir "$PROFILE\.local\state" ; if nobody else uses it
	RMDir "$PROFILE\.local"
	settings_done:
	ClearErrors
SectionEnd
