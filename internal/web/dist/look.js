// Sets the chosen look before the first paint, so nothing flashes.
(function () {
  try {
    var look = JSON.parse(localStorage.getItem('parley.look') || '{}');
    var root = document.documentElement;
    if (look.theme === 'light' || look.theme === 'dark') root.dataset.theme = look.theme;
    if (look.contrast) root.dataset.contrast = 'more';
    if (look.compact) root.dataset.density = 'compact';
    if (look.size >= 80 && look.size <= 200) root.style.fontSize = look.size + '%';
  } catch (e) {
    // A damaged setting means the default look.
  }
})();
