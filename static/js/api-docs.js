// Draws the API's documents from its description. Nothing is fetched but that description:
// Swagger UI's check of it by an outside service is off.

const place = document.getElementById("api-docs");

if (window.SwaggerUIBundle) {
  window.SwaggerUIBundle({
    url: place.dataset.description,
    domNode: place,
    validatorUrl: null,
    deepLinking: true,
    displayRequestDuration: true,
    defaultModelsExpandDepth: 0,
  });
}
