"""The page: all tabs, with the model and the class that they share.

`pixel-rnn demo` opens it on this machine. As a Hugging Face Space, this file is the one that is run.
"""

import os
import threading
from collections.abc import Sequence

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # before Gradio is imported

import gradio as gr

from pixel_rnn_jax.demo import complete, compress, draw, look_inside, models, score, work

HEAD = """# Pixel RNN
Small trained models of images, at work: *Pixel Recurrent Neural Networks*
([van den Oord et al., 2016](https://arxiv.org/abs/1601.06759)) in JAX."""
ANY = ("any", "")  # what is shown, and the value
THEME = gr.themes.Default(primary_hue="blue", font=["sans-serif"], font_mono=["monospace"])  # nothing from other hosts
MAX_WAITING = 20
KEPT_SECONDS = 3600  # how long uploads stay on the server
STYLE = """<style>
.gradio-container .app { max-width: 1100px !important; margin: auto; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(112px, 21%), 1fr)); gap: 10px; }
.pictures.pairs { grid-template-columns: repeat(auto-fill, minmax(min(240px, 100%), 1fr)); }
.pictures.one { grid-template-columns: minmax(0, 448px); }
.pictures figure { margin: 0; }
.pictures img { width: 100%; image-rendering: pixelated; border-radius: 4px; margin: 0; }
.pictures figcaption { font-size: 13px; text-align: center; opacity: 0.8; font-variant-numeric: tabular-nums; }
#look-inside img { image-rendering: pixelated; cursor: crosshair; }
.html-container { padding: 0 !important; }
.plot { width: 100%; max-width: 720px !important; margin: 0; }
.status { min-height: 28px; }
.line { margin: 4px 0; }
.saves { margin: 16px 0 4px; display: flex; flex-wrap: wrap; gap: 8px 16px; }
.saves .save { text-decoration: underline; }
.sizes { margin: 8px 0; border-collapse: collapse; width: 100%; max-width: 640px; }
.sizes, .sizes * { border: 0 !important; }
.sizes th, .sizes td { text-align: left; padding: 4px 12px 4px 0; white-space: nowrap; font-weight: normal; }
.sizes .bar { width: 60%; } .sizes .bar div { background: #3b82f6; height: 14px; border-radius: 3px; }
@media (max-width: 640px) {
  .gradio-container .app { padding: 12px !important; }
  .tab-container button { padding: 0 6px !important; }
}
</style>"""


def make_page(workdirs: Sequence[str] = ()) -> gr.Blocks:
    """Makes the page, with models of the visitor's own before those that come with the package.

    Raises:
      InputError: if there is no model in one of `workdirs`, or none that the page can show.
    """
    names = models.offered(workdirs)
    with gr.Blocks(title="Pixel RNN", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown(HEAD)
        with gr.Row():
            model = gr.Dropdown(names, value=names[0], label="Model", elem_id="model")
            label = classes(names[0])
        about = gr.Markdown(card(names[0]))
        with gr.Tab("Draw"):
            draw.tab(model, label)
        with gr.Tab("Complete"):
            complete.tab(model, label)
        with gr.Tab("Score"):
            score.tab(model, label)
        with gr.Tab("Look inside"):
            look_inside.tab(model, label)
        with gr.Tab("Compress"):
            compress.tab(model, label)
        model.change(lambda name: (card(name), classes(name)), model, [about, label], **work.QUICK)
    return page.queue(max_size=MAX_WAITING)


def card(name: str) -> str:
    """A line that says what a model is."""
    texts = models.load(name).card
    scores = [f"{split}: {texts[split]}" for split in ("test", "validation") if split in texts][:1]
    text = texts.get("about") or f"a model of images of {texts['images']}"
    return f"{text[0].upper()}{text[1:]}.\n\n{' · '.join((texts['model'], texts['images'], *scores))}"


def classes(name: str) -> gr.Dropdown:
    """The choice of a class, for a model that has classes."""
    names = models.load(name).class_names
    choices = [ANY, *((name, name) for name in names)]
    return gr.Dropdown(choices, value="", label="Class", visible=bool(names), elem_id="class")


def serve(workdirs: Sequence[str] = (), *, port: int | None = None, open_browser: bool = False) -> None:
    """Makes the page and shows it until it is interrupted; on 127.0.0.1, unless GRADIO_SERVER_NAME says otherwise."""
    page = make_page(workdirs)
    threading.Thread(target=models.read_all, args=[workdirs], daemon=True).start()
    page.launch(
        theme=THEME,
        head=STYLE,  # Gradio's `css` would be rewritten to apply inside the page's parts only
        footer_links=[],
        server_port=port,
        inbrowser=open_browser,
        share=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        show_error=False,
        max_file_size=work.MAX_FILE_SIZE,
    )


if __name__ == "__main__":
    serve()
