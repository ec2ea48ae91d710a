// Browsers allow six connections to one origin, and every stream holds one.
// So a hidden tab lends its own to the tab that is being looked at, and goes
// on from its cursor when it is looked at again.
export function takeTurns(hold: (on: boolean) => void): void {
  const others = new BroadcastChannel('parley.tabs');
  const claim = () => {
    if (document.hidden) return;
    hold(false);
    others.postMessage('seen');
  };
  others.onmessage = () => {
    if (document.hidden) hold(true);
  };
  document.addEventListener('visibilitychange', claim);
  claim();
}
