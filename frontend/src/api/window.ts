// SPDX-License-Identifier: Apache-2.0
// The window that the page may be shown in: it has the desktop's own dialogs for files, which a page in a browser has not.
// app/desktop/files.go has the other end.

/** What a web view has, and a browser has not, to tell its program something. */
interface Port {
  postMessage(text: string): void
}

interface Request {
  id: string
  do: 'choose' | 'save'
  title: string
  name?: string
  /** In base64. */
  content?: string
}

interface Response {
  id: string
  paths: string[]
  error?: string
}

const event = 'fairlead:files'

function port(): Port | undefined {
  const { webkit, chrome } = globalThis as { webkit?: { messageHandlers?: { external?: Port } }; chrome?: { webview?: Port } }
  return webkit?.messageHandlers?.external ?? chrome?.webview
}

/** Whether the page is shown in the window. */
export const inWindow = (): boolean => port() !== undefined

/** Shows a dialog of the desktop, and answers when the user has closed it: with no paths if it was cancelled. */
function ask(request: Omit<Request, 'id'>): Promise<string[]> {
  const id = crypto.randomUUID()
  return new Promise((resolve, reject) => {
    const answered = (said: Event) => {
      const response = (said as CustomEvent<Response>).detail
      if (response.id !== id) return
      removeEventListener(event, answered)
      if (response.error) reject(new Error(response.error))
      else resolve(response.paths)
    }
    addEventListener(event, answered)
    port()?.postMessage(`EE${JSON.stringify({ name: event, data: [JSON.stringify({ ...request, id })] })}`)
  })
}

/** Lets the user choose files of this laptop. */
export const chooseFiles = (title: string): Promise<string[]> => ask({ do: 'choose', title })

/** Lets the user say where a file is to be, and saves it there. Answers with its path, or undefined if that was cancelled. */
export async function saveAs(title: string, name: string, content: Blob): Promise<string | undefined> {
  const [path] = await ask({ do: 'save', title, name, content: await base64(content) })
  return path
}

function base64(content: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve((reader.result as string).replace(/^[^,]*,?/, ''))
    reader.onerror = () => reject(reader.error ?? new Error('the file cannot be read'))
    reader.readAsDataURL(content)
  })
}
