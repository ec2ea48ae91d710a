// What an error of the API means, in words for people.
import { Code, ConnectError } from '@connectrpc/connect';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { words } from './words';

export interface Fault {
  kind: 'offline' | 'session' | 'refused';
  reason: string;
  text: string;
  retryMs: number;
}

// faultOf reads the code and the details of google.rpc: ErrorInfo.reason,
// RetryInfo.retry_delay and LocalizedMessage.message.
export function faultOf(err: unknown): Fault {
  const e = ConnectError.from(err, Code.Unavailable);
  const out: Fault = { kind: 'refused', reason: '', text: '', retryMs: 0 };
  let told = '';
  for (const d of e.details) {
    if (!('type' in d) || !(d.value instanceof Uint8Array)) continue;
    try {
      if (d.type === 'google.rpc.ErrorInfo') out.reason = stringField(d.value, 1);
      if (d.type === 'google.rpc.LocalizedMessage') told = stringField(d.value, 2);
      if (d.type === 'google.rpc.RetryInfo') out.retryMs = durationField(d.value, 1);
    } catch {
      // A detail this page cannot read is as good as none.
    }
  }
  const denied = e.code === Code.PermissionDenied && !out.reason;
  if (e.code === Code.Unauthenticated || denied) return { ...out, kind: 'session', text: words.locked.body };
  if ((!out.reason || out.reason === 'STOPPING') && (e.code === Code.Unavailable || e.cause instanceof TypeError)) {
    return { ...out, kind: 'offline', text: words.fault.offline };
  }
  if (out.reason === 'COOLING_PERIOD') out.text = words.fault.COOLING_PERIOD(Math.ceil(out.retryMs / 1000));
  else if (told) out.text = told;
  else if (out.reason === 'INVALID' && e.rawMessage) out.text = e.rawMessage;
  else out.text = words.fault.reasons[out.reason] ?? (e.code === Code.Internal ? words.fault.other(e.rawMessage) : e.rawMessage);
  return out;
}

function stringField(bytes: Uint8Array, field: number): string {
  const r = new BinaryReader(bytes);
  while (r.pos < r.len) {
    const [no, type] = r.tag();
    if (no === field) return r.string();
    r.skip(type, no);
  }
  return '';
}

function durationField(bytes: Uint8Array, field: number): number {
  const r = new BinaryReader(bytes);
  while (r.pos < r.len) {
    const [no, type] = r.tag();
    if (no !== field) {
      r.skip(type, no);
      continue;
    }
    const inner = new BinaryReader(r.bytes());
    let ms = 0;
    while (inner.pos < inner.len) {
      const [f, t] = inner.tag();
      if (f === 1) ms += Number(inner.int64()) * 1000;
      else if (f === 2) ms += inner.int32() / 1e6;
      else inner.skip(t, f);
    }
    return ms;
  }
  return 0;
}
